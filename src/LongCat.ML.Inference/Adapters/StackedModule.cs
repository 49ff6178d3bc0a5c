using System.Numerics.Tensors;
using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Adapters;

namespace LongCat.ML.Inference.Adapters;

/// <summary>What all adapters do to one module, in the order of the adapters; an entry is null where an adapter leaves the module alone.</summary>
internal sealed class StackedModule
{
    private readonly AdaptableModule _module;
    private readonly IReadOnlyList<AdapterSource> _sources;
    private readonly AdapterMatrix?[] _parts;

    public StackedModule(AdaptableModule module, IReadOnlyList<AdapterSource> sources)
    {
        _module = module;
        _sources = sources;
        _parts = [.. sources.Select(source => source.Adapter.Modules.GetValueOrDefault(module.Module))];
        AdapterMatrix first = _parts.First(part => part is not null)!;
        (In, Out) = (first.In, first.Out);
        Starts = new int[_parts.Length + 1];
        for (int i = 0; i < _parts.Length; i++)
        {
            Starts[i + 1] = Starts[i] + (_parts[i]?.Rank ?? 0);
        }
    }

    public string Name => _module.Module;

    /// <summary>K.</summary>
    public int In { get; }

    /// <summary>N.</summary>
    public int Out { get; }

    /// <summary>Ranks of all adapters together.</summary>
    public int Ranks => Starts[^1];

    /// <summary>Where each adapter's ranks begin, and behind them the end.</summary>
    public int[] Starts { get; }

    /// <summary>Whether an adapter multiplies the outputs (DoRA). Merged matrices have that multiplied in.</summary>
    public bool HasGain => !IsMerged && _parts.Any(part => part?.Magnitude is not null);

    /// <summary>Whether the graph takes the whole matrix with each adapter merged into it.</summary>
    public bool IsMerged => _module.Kind == AdaptableModuleKind.LatentValues;

    /// <summary>Bytes that an adapter takes in this module.</summary>
    public long BytesOf(int adapter) => IsMerged
        ? (long)Out * In * sizeof(float)
        : ((long)(Starts[adapter + 1] - Starts[adapter]) * (In + Out) * sizeof(float)) + (HasGain ? (long)Out * sizeof(float) : 0);

    /// <summary>A of all adapters beside each other, transposed against PEFT: [K, ranks].</summary>
    public void FillA(Span<float> a)
    {
        for (int i = 0; i < _parts.Length; i++)
        {
            for (int r = 0; _parts[i] is { } part && r < part.Rank; r++)
            {
                ReadOnlySpan<float> row = part.A.AsSpan(r * In, In);
                for (int k = 0; k < In; k++)
                {
                    a[(k * Ranks) + Starts[i] + r] = row[k];
                }
            }
        }
    }

    /// <summary>B of all adapters one below the other, transposed against PEFT and times the scale: [ranks, N].</summary>
    public void FillB(Span<float> b)
    {
        for (int i = 0; i < _parts.Length; i++)
        {
            for (int r = 0; _parts[i] is { } part && r < part.Rank; r++)
            {
                Span<float> row = b.Slice((Starts[i] + r) * Out, Out);
                for (int o = 0; o < Out; o++)
                {
                    row[o] = (float)(part.Scale * part.B[(o * part.Rank) + r]);
                }

                CheckFinite(row, i, "the scale times B");
            }
        }
    }

    /// <summary>DoRA: m / ‖W + sBA‖ of every output, W as the folder holds it; 1 where an adapter has no magnitudes: [n, N].</summary>
    public void FillGain(Span<float> gain, string folder)
    {
        gain.Fill(1);
        using BaseMatrix matrix = BaseMatrix.Open(folder, _module, In);
        float[] block = new float[matrix.BlockRows * In];
        float[] sum = new float[In];
        for (int first = 0; first < Out; first += matrix.BlockRows)
        {
            int count = Math.Min(matrix.BlockRows, Out - first);
            matrix.Read(first, count, block);
            for (int i = 0; i < _parts.Length; i++)
            {
                for (int row = 0; _parts[i] is { Magnitude: not null } part && row < count; row++)
                {
                    gain[(i * Out) + first + row] = Merge(i, part, first + row, block.AsSpan(row * In, In), sum);
                }
            }
        }
    }

    /// <summary>The matrix with each adapter merged into it: [n, N, K].</summary>
    public unsafe void FillMerged(float* merged, string folder)
    {
        using BaseMatrix matrix = BaseMatrix.Open(folder, _module, In);
        float[] block = new float[matrix.BlockRows * In];
        for (int first = 0; first < Out; first += matrix.BlockRows)
        {
            int count = Math.Min(matrix.BlockRows, Out - first);
            matrix.Read(first, count, block);
            for (int i = 0; i < _parts.Length; i++)
            {
                Span<float> rows = new(merged + ((((long)i * Out) + first) * In), count * In);
                if (_parts[i] is not { } part)
                {
                    block.AsSpan(0, count * In).CopyTo(rows);
                    continue;
                }

                for (int row = 0; row < count; row++)
                {
                    Span<float> sum = rows.Slice(row * In, In);
                    float gain = Merge(i, part, first + row, block.AsSpan(row * In, In), sum);
                    if (part.Magnitude is not null)
                    {
                        TensorPrimitives.Multiply(sum, gain, sum);
                    }

                    CheckFinite(sum, i, "W + sBA");
                }
            }
        }
    }

    /// <summary>One row of W + sBA.</summary>
    /// <returns>DoRA: m / its norm; 1 without magnitudes.</returns>
    private float Merge(int adapter, AdapterMatrix part, int row, ReadOnlySpan<float> weights, Span<float> sum)
    {
        weights.CopyTo(sum);
        for (int r = 0; r < part.Rank; r++)
        {
            TensorPrimitives.MultiplyAdd(part.A.AsSpan(r * In, In), (float)(part.Scale * part.B[(row * part.Rank) + r]), sum, sum);
        }

        if (part.Magnitude is null)
        {
            return 1;
        }

        double squares = 0;
        foreach (float value in sum)
        {
            squares += (double)value * value;
        }

        double gain = part.Magnitude[row] / Math.Sqrt(squares);
        return double.IsFinite(gain)
            ? (float)gain
            : throw Refused(adapter, $"row {row} of W + sBA has the norm {Math.Sqrt(squares)}, and its magnitude is {part.Magnitude[row]}: there is no direction to scale. Was the adapter trained on this model?");
    }

    private void CheckFinite(ReadOnlySpan<float> values, int adapter, string what)
    {
        int bad = TensorPrimitives.IndexOfMaxMagnitude(values);
        if (bad >= 0 && !float.IsFinite(values[bad]))
        {
            throw Refused(adapter, $"{what} holds {values[bad]}, expected finite numbers: the training diverged or the file is damaged.");
        }
    }

    private InferenceException Refused(int adapter, string message) => new($"the adapter '{_sources[adapter].Name}' ({_sources[adapter].Folder}), {Name}: {message}");
}

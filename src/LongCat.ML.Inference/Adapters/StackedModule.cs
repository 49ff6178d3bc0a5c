using System.Numerics.Tensors;
using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Adapters;

namespace LongCat.ML.Inference.Adapters;

/// <summary>
/// What all adapters do to one module, in the order of the adapters; an entry is null where an adapter leaves the module alone. A projection of experts is a matrix for each expert,
/// with room for the largest rank that an adapter has in any of them; the others are filled up with zeros.
/// </summary>
internal sealed class StackedModule
{
    private readonly AdaptableModule _module;
    private readonly IReadOnlyList<AdapterSource> _sources;
    private readonly AdaptableModule[] _matrices;
    private readonly AdapterMatrix?[][] _parts;

    public StackedModule(AdaptableModule module, IReadOnlyList<AdapterSource> sources)
    {
        _module = module;
        _sources = sources;
        _matrices = module.Experts == 0 ? [module] : [.. Enumerable.Range(0, module.Experts).Select(module.Expert)];
        _parts = [.. _matrices.Select(matrix => sources.Select(source => source.Adapter.Modules.GetValueOrDefault(matrix.Module)).ToArray())];
        AdapterMatrix first = _parts.SelectMany(parts => parts).First(part => part is not null)!;
        (In, Out) = (first.In, first.Out);
        Starts = new int[sources.Count + 1];
        for (int i = 0; i < sources.Count; i++)
        {
            Starts[i + 1] = Starts[i] + _parts.Max(parts => parts[i]?.Rank ?? 0);
        }
    }

    public string Name => _module.Module;

    /// <summary>Matrices: experts, or 1.</summary>
    public int Count => _matrices.Length;

    /// <summary>Whether the graph takes a matrix for each expert.</summary>
    public bool IsExperts => _module.Experts > 0;

    /// <summary>K.</summary>
    public int In { get; }

    /// <summary>N.</summary>
    public int Out { get; }

    /// <summary>Ranks of all adapters together.</summary>
    public int Ranks => Starts[^1];

    /// <summary>Where each adapter's ranks begin, and behind them the end.</summary>
    public int[] Starts { get; }

    /// <summary>Whether an adapter multiplies the outputs (DoRA). Merged matrices have that multiplied in.</summary>
    public bool HasGain => !IsMerged && _parts.Any(parts => parts.Any(part => part?.Magnitude is not null));

    /// <summary>Whether the graph takes the whole matrix with each adapter merged into it.</summary>
    public bool IsMerged => _module.Kind == AdaptableModuleKind.LatentValues;

    /// <summary>Bytes that an adapter takes in this module.</summary>
    public long BytesOf(int adapter) => IsMerged
        ? (long)Out * In * sizeof(float)
        : Count * (((long)(Starts[adapter + 1] - Starts[adapter]) * (In + Out) * sizeof(float)) + (HasGain ? (long)Out * sizeof(float) : 0));

    /// <summary>A of all adapters beside each other, transposed against PEFT: [K, ranks].</summary>
    public void FillA(Span<float> a, int expert)
    {
        AdapterMatrix?[] parts = _parts[expert];
        for (int i = 0; i < parts.Length; i++)
        {
            for (int r = 0; parts[i] is { } part && r < part.Rank; r++)
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
    public void FillB(Span<float> b, int expert)
    {
        AdapterMatrix?[] parts = _parts[expert];
        for (int i = 0; i < parts.Length; i++)
        {
            for (int r = 0; parts[i] is { } part && r < part.Rank; r++)
            {
                Span<float> row = b.Slice((Starts[i] + r) * Out, Out);
                for (int o = 0; o < Out; o++)
                {
                    row[o] = (float)(part.Scale * part.B[(o * part.Rank) + r]);
                }

                CheckFinite(row, i, _matrices[expert], "the scale times B");
            }
        }
    }

    /// <summary>DoRA: m / ‖W + sBA‖ of every output, W as the folder holds it; 1 where an adapter has no magnitudes: [n, N].</summary>
    public void FillGain(Span<float> gain, string folder, int expert)
    {
        AdapterMatrix?[] parts = _parts[expert];
        gain.Fill(1);
        using BaseMatrix matrix = BaseMatrix.Open(folder, _matrices[expert], In);
        float[] block = new float[matrix.BlockRows * In];
        float[] sum = new float[In];
        for (int first = 0; first < Out; first += matrix.BlockRows)
        {
            int count = Math.Min(matrix.BlockRows, Out - first);
            matrix.Read(first, count, block);
            for (int i = 0; i < parts.Length; i++)
            {
                for (int row = 0; parts[i] is { Magnitude: not null } part && row < count; row++)
                {
                    gain[(i * Out) + first + row] = Merge(i, part, first + row, block.AsSpan(row * In, In), sum);
                }
            }
        }
    }

    /// <summary>The matrix with each adapter merged into it: [n, N, K].</summary>
    public unsafe void FillMerged(float* merged, string folder)
    {
        AdapterMatrix?[] parts = _parts[0];
        using BaseMatrix matrix = BaseMatrix.Open(folder, _module, In);
        float[] block = new float[matrix.BlockRows * In];
        for (int first = 0; first < Out; first += matrix.BlockRows)
        {
            int count = Math.Min(matrix.BlockRows, Out - first);
            matrix.Read(first, count, block);
            for (int i = 0; i < parts.Length; i++)
            {
                Span<float> rows = new(merged + ((((long)i * Out) + first) * In), count * In);
                if (parts[i] is not { } part)
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

                    CheckFinite(sum, i, _module, "W + sBA");
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
            : throw Refused(adapter, part.Module, $"row {row} of W + sBA has the norm {Math.Sqrt(squares)}, and its magnitude is {part.Magnitude[row]}: there is no direction to scale. Was the adapter trained on this model?");
    }

    private void CheckFinite(ReadOnlySpan<float> values, int adapter, AdaptableModule module, string what)
    {
        int bad = TensorPrimitives.IndexOfMaxMagnitude(values);
        if (bad >= 0 && !float.IsFinite(values[bad]))
        {
            throw Refused(adapter, module.Module, $"{what} holds {values[bad]}, expected finite numbers: the training diverged or the file is damaged.");
        }
    }

    private InferenceException Refused(int adapter, string module, string message) => new($"the adapter '{_sources[adapter].Name}' ({_sources[adapter].Folder}), {module}: {message}");
}

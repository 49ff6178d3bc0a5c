using System.Buffers;

namespace LongCat.ML.Checkpoints;

/// <summary>A tensor of a checkpoint with adapters merged into it: computed in float32 where it is read, then rounded once to the type that it is stored in.</summary>
/// <remarks>Thread safety: may be read concurrently.</remarks>
internal sealed class MergedTensor(TensorEntry entry, Action<long, Span<float>> readBase)
{
    /// <summary>Above this a float16 would be infinite.</summary>
    private const float LargestFloat16 = 65504;

    private readonly List<LowRankStep> _steps = [];
    private AdapterTensor? _replacement;
    private string? _replacedBy;

    /// <summary>The base tensor gives way to the adapter's own.</summary>
    public void Replace(string adapter, AdapterTensor tensor)
    {
        if (_replacement is not null || _steps.Count > 0)
        {
            throw new AdapterException(adapter, tensor.Name, $"replaces a tensor that {_replacedBy ?? "another adapter"} changed already; merge at most one adapter that replaces it, as the first");
        }

        (_replacement, _replacedBy) = (tensor, adapter);
    }

    public void AddWeight(string adapter, AdapterMatrix matrix)
    {
        int before = _steps.Count;
        _steps.Add(LowRankStep.OfWeight(adapter, matrix, (first, row) => Read(first, row, before)));
    }

    public void AddBias(string adapter, AdapterMatrix matrix) => _steps.Add(LowRankStep.OfBias(adapter, matrix));

    /// <summary>Reads consecutive elements, merged and rounded to the stored type.</summary>
    public void Read(long first, Span<float> destination)
    {
        Read(first, destination, _steps.Count);
        if (entry.Type == TensorType.BFloat16)
        {
            ushort[] narrow = ArrayPool<ushort>.Shared.Rent(destination.Length);
            TensorConversion.NarrowToBFloat16(destination, narrow.AsSpan(0, destination.Length));
            TensorConversion.WidenBFloat16(narrow.AsSpan(0, destination.Length), destination);
            ArrayPool<ushort>.Shared.Return(narrow);
        }
        else if (entry.Type == TensorType.Float16)
        {
            foreach (ref float value in destination)
            {
                if (Math.Abs(value) > LargestFloat16 && float.IsFinite(value))
                {
                    throw new AdapterException(entry.File, entry.Name, FormattableString.Invariant($"becomes {value:R} somewhere with the adapter merged, more than the stored type F16 holds ({LargestFloat16}); convert the base to BF16 or F32 first"));
                }

                value = (float)(Half)value;
            }
        }
    }

    private void Read(long first, Span<float> destination, int steps)
    {
        if (_replacement is not null)
        {
            _replacement.ReadFloat32(first, destination);
        }
        else
        {
            readBase(first, destination);
        }

        for (int i = 0; i < steps; i++)
        {
            _steps[i].Apply(first, destination);
        }
    }
}

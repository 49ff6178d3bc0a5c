namespace LongCat.ML.Benchmarks.W4A8;

/// <summary>Sizes of a mixture of experts.</summary>
internal sealed record ExpertSizes(int Experts, int Top, int Hidden, int Intermediate)
{
    /// <summary>LongCat-Flash-Lite's experts, without the zero experts, which no other operator has.</summary>
    public static ExpertSizes Lite { get; } = new(256, 12, 3072, 1024);

    public static ExpertSizes Small { get; } = new(16, 4, 256, 128);

    public long Weights => (long)Experts * 3 * Hidden * Intermediate;

    /// <summary>Operations of one token in one expert.</summary>
    public double Operations => 6.0 * Hidden * Intermediate;
}

/// <summary>Random experts: packed for longcat::ExpertMixture, and as many bits for the operators of com.microsoft; a router; one value for all scales of a kind.</summary>
internal sealed unsafe class ExpertWeights : IDisposable
{
    private readonly List<PageBuffer> owned = [];

    public ExpertWeights(KernelProbe probe, ExpertSizes sizes)
    {
        Sizes = sizes;
        (GateBytes, DownBytes) = (probe.PackedBytes(new(sizes.Intermediate, sizes.Hidden)), probe.PackedBytes(new(sizes.Hidden, sizes.Intermediate)));
        Packed = Own((sizes.Experts * ExpertBytes) + 64).Fill(3);
        Bits = Own(sizes.Weights / 2).Fill(4);
        PageBuffer router = Own(4L * sizes.Experts * sizes.Hidden);
        Random random = new(5);
        foreach (ref float value in new Span<float>(router.Bytes, sizes.Experts * sizes.Hidden))
        {
            value = ((random.NextSingle() * 2) - 1) * 0.02f;
        }

        Router = (float*)router.Bytes;
    }

    public ExpertSizes Sizes { get; }

    /// <summary>Of one expert's gate (and up).</summary>
    public long GateBytes { get; }

    public long DownBytes { get; }

    public long ExpertBytes => (2 * GateBytes) + DownBytes;

    /// <summary>The stacks gate, up and down, one after another.</summary>
    public PageBuffer Packed { get; }

    /// <summary>Two weights a byte: gate and up of every expert, then down of every expert.</summary>
    public PageBuffer Bits { get; }

    /// <summary>[experts, hidden].</summary>
    public float* Router { get; }

    /// <summary>Float32 values, all of one size, that live as long as the weights.</summary>
    public float* Constant(long count, double value)
    {
        PageBuffer buffer = Own(4 * count);
        new Span<float>(buffer.Bytes, checked((int)count)).Fill((float)value);
        return (float*)buffer.Bytes;
    }

    public void Dispose() => owned.ForEach(buffer => buffer.Dispose());

    private PageBuffer Own(long length)
    {
        PageBuffer buffer = new(length);
        owned.Add(buffer);
        return buffer;
    }
}

using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace LongCat.ML.Inference.Sessions;

/// <summary>
/// What a graph for sparse verification takes besides its rows: numbers that stay the same from step to step and leave nothing out where the engine verifies exactly, and the means of the pages' keys beside
/// the caches, bound as input and output of the same memory.
/// </summary>
internal sealed unsafe class SparseInputs : IDisposable
{
    /// <summary>The input that says which rows of a step are sparse.</summary>
    public const string Rows = "sparse_rows";

    private readonly SparseVerificationLayout _layout;
    private readonly int _pageSize;
    private readonly List<Constant> _constants = [];
    private readonly List<(int Attention, OrtValue Value)> _means = [];
    private readonly List<NativeBuffer> _buffers = [];

    /// <param name="layout">What the graph takes.</param>
    /// <param name="options">What may be left out; null for nothing.</param>
    /// <param name="pages">Pages of each cache of a full attention.</param>
    /// <param name="pageSize">Tokens of a page.</param>
    public SparseInputs(SparseVerificationLayout layout, SparseVerification? options, int pages, int pageSize)
    {
        _layout = layout;
        _pageSize = pageSize;
        Add("sparse_attention", TensorElementType.Int32, sizeof(int), 5);
        Add("sparse_anchors", TensorElementType.UInt8, sizeof(byte), layout.Attentions);
        Add("sparse_tau", TensorElementType.Float, sizeof(float), 1);
        if (layout.MoeLayers > 0)
        {
            Add("sparse_experts", TensorElementType.Int32, sizeof(int), 1);
            Add("sparse_expert_betas", TensorElementType.Float, sizeof(float), layout.MoeLayers, layout.TopK - 1);
        }

        Set(options);
        for (int i = 0; i < layout.MeanWidths.Count; i++)
        {
            if (layout.MeanWidths[i] is > 0 and int width)
            {
                NativeBuffer buffer = new((long)pages * width * sizeof(float));
                _buffers.Add(buffer);
                _means.Add((i, OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, TensorElementType.Float, [pages, width], buffer.Pointer, buffer.Bytes)));
            }
        }
    }

    /// <summary>The inputs that a graph with a layout has, and the outputs.</summary>
    public static (IEnumerable<string> Inputs, IEnumerable<string> Outputs) Names(SparseVerificationLayout layout)
    {
        int[] means = [.. Enumerable.Range(0, layout.MeanWidths.Count).Where(i => layout.MeanWidths[i] > 0)];
        return (
            [Rows, "sparse_attention", "sparse_anchors", "sparse_tau", .. layout.MoeLayers > 0 ? ["sparse_experts", "sparse_expert_betas"] : Array.Empty<string>(), .. means.Select(i => $"block_means.{i}")],
            means.Select(i => $"block_means_out.{i}"));
    }

    /// <summary>Changes what the sparse rows of the next steps may leave out; null for nothing.</summary>
    public void Set(SparseVerification? options)
    {
        AttentionBudget? attention = options?.Attention;

        // Up to L0 everything is read: with the largest one a round that is sparse for its channels or experts reads all keys.
        Write<int>("sparse_attention", attention is null
            ? [_pageSize, int.MaxValue, 1000, 0, 1]
            : [attention.BlockSize, attention.L0, attention.RhoThousandths, attention.SinkBlocks, attention.LocalBlocks]);
        Write<byte>("sparse_anchors", Anchors(_layout, options));
        Write<float>("sparse_tau", [options?.FfnThreshold ?? 0]);
        if (_layout.MoeLayers > 0)
        {
            Write<int>("sparse_experts", [options?.MaxSkippedExperts ?? 0]);
            Write<float>("sparse_expert_betas", Shares(_layout, options));
        }
    }

    public void Bind(OrtIoBinding binding)
    {
        foreach (Constant constant in _constants)
        {
            binding.BindInput(constant.Name, constant.Value);
        }

        foreach ((int attention, OrtValue value) in _means)
        {
            binding.BindInput($"block_means.{attention}", value);
            binding.BindOutput($"block_means_out.{attention}", value);
        }
    }

    /// <summary>After the session is closed.</summary>
    public void Dispose()
    {
        _constants.ForEach(constant => constant.Value.Dispose());
        _means.ForEach(mean => mean.Value.Dispose());
        _buffers.ForEach(buffer => buffer.Dispose());
    }

    /// <summary>1 for each attention that chooses blocks of its own.</summary>
    private static byte[] Anchors(SparseVerificationLayout layout, SparseVerification? options)
    {
        byte[] anchors = new byte[layout.Attentions];
        if ((options?.Attention?.Anchors ?? options?.Calibration?.Anchors) is not { } chosen)
        {
            Array.Fill(anchors, (byte)1);
            return anchors;
        }

        foreach (int attention in chosen)
        {
            anchors[attention] = 1;
        }

        return anchors;
    }

    /// <summary>A share that the least experts must stay below to be skipped, [moe_layers, topk-1]. Without a calibration 1: as many as allowed are skipped, whatever their weight.</summary>
    private static float[] Shares(SparseVerificationLayout layout, SparseVerification? options)
    {
        if (options?.Calibration is { } calibration)
        {
            return [.. calibration.ExpertShares.SelectMany(shares => shares)];
        }

        float[] all = new float[layout.MoeLayers * (layout.TopK - 1)];
        Array.Fill(all, 1f);
        return all;
    }

    private void Add(string name, TensorElementType type, int elementSize, params ReadOnlySpan<long> shape)
    {
        long bytes = elementSize;
        foreach (long dimension in shape)
        {
            bytes *= dimension;
        }

        NativeBuffer buffer = new(bytes);
        _buffers.Add(buffer);
        _constants.Add(new Constant(name, OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, type, shape.ToArray(), buffer.Pointer, bytes), buffer));
    }

    private void Write<T>(string name, T[] values)
        where T : unmanaged
    {
        NativeBuffer buffer = _constants.Find(constant => constant.Name == name)!.Buffer;
        MemoryMarshal.AsBytes(values.AsSpan()).CopyTo(new Span<byte>((void*)buffer.Pointer, checked((int)buffer.Bytes)));
    }

    private sealed record Constant(string Name, OrtValue Value, NativeBuffer Buffer);
}

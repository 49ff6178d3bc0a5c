using System.Runtime.InteropServices;
using LongCat.ML.Inference.Scheduling;
using LongCat.ML.Onnx.Adapters;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace LongCat.ML.Inference.Sessions;

/// <summary>Binds what changes from step to step: the packed inputs, as views of the step's pinned arrays, and outputs in buffers of the caller. <see cref="Release"/> lets go of them.</summary>
internal sealed unsafe class StepBinding
{
    private readonly List<OrtValue> _values = [];

    /// <param name="binding">What the inputs are bound to.</param>
    /// <param name="step">The inputs.</param>
    /// <param name="withBlockTable">Whether the graph takes the pages of full attentions; a graph without such attentions may leave them out.</param>
    /// <param name="withAdapters">Whether it takes the adapter of each token.</param>
    /// <param name="withSparseRows">Whether it takes which tokens are verified sparsely.</param>
    public void BindInputs(OrtIoBinding binding, PackedStep step, bool withBlockTable = true, bool withAdapters = false, bool withSparseRows = false)
    {
        Bind(binding, "input_ids", step.InputIds, step.Tokens);
        Bind(binding, "position_ids", step.PositionIds, step.Tokens);
        Bind(binding, "query_start", step.QueryStart, step.Sequences + 1);
        Bind(binding, "context_length", step.ContextLength, step.Sequences);
        if (withBlockTable)
        {
            Bind(binding, "block_table", step.BlockTable, step.Sequences, step.Blocks);
        }

        if (step.StreamingBlockTable is { } streaming)
        {
            Bind(binding, "streaming_block_table", streaming, step.Sequences, step.StreamingBlocks);
        }

        if (step.NgramContextLength > 0)
        {
            Bind(binding, "ngram_context", step.NgramContext, step.Sequences, step.NgramContextLength);
        }

        Bind(binding, "logits_index", step.LogitsIndex, step.Rows);
        if (withAdapters)
        {
            Bind(binding, AdapterNames.RowAdapter, step.RowAdapter, step.Tokens);
        }

        if (withSparseRows)
        {
            Bind(binding, SparseInputs.Rows, step.SparseRows, step.Tokens);
        }
    }

    public void BindOutput(OrtIoBinding binding, string name, NativeBuffer buffer, int rows, int width)
    {
        OrtValue value = OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, TensorElementType.Float, [rows, width], buffer.Pointer, buffer.Bytes);
        _values.Add(value);
        binding.BindOutput(name, value);
    }

    /// <summary>The step is over.</summary>
    public void Release()
    {
        _values.ForEach(value => value.Dispose());
        _values.Clear();
    }

    /// <summary>The arrays are pinned for good, so their address stays good while the session reads them.</summary>
    private void Bind<T>(OrtIoBinding binding, string name, T[] values, params ReadOnlySpan<long> shape)
        where T : unmanaged
    {
        OrtValue value = OrtValue.CreateTensorValueWithData(
            OrtMemoryInfo.DefaultInstance,
            typeof(T) == typeof(long) ? TensorElementType.Int64 : typeof(T) == typeof(byte) ? TensorElementType.UInt8 : TensorElementType.Int32,
            shape.ToArray(),
            Marshal.UnsafeAddrOfPinnedArrayElement(values, 0),
            (long)values.Length * sizeof(T));
        _values.Add(value);
        binding.BindInput(name, value);
    }
}

using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Scheduling;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace LongCat.ML.Inference.Sessions;

/// <summary>
/// Runs model.onnx on the CPU. Every buffer is allocated once: the caches are bound as input and output of the same memory, so the operators write them in place,
/// and the other inputs are views of the step's pinned arrays.
/// </summary>
internal sealed unsafe partial class OrtModelRunner : IModelRunner
{
    private readonly InferenceSession _session;
    private readonly OrtIoBinding _binding;

    // A binding of its own for steps that give hidden states out: an output once bound cannot be taken out of a binding alone.
    private readonly OrtIoBinding? _hiddenBinding;
    private readonly RunOptions _runOptions = new();
    private readonly List<OrtValue> _cacheValues = [];
    private readonly List<NativeBuffer> _caches = [];
    private readonly List<OrtValue> _stepValues = [];
    private readonly NativeBuffer _logits;
    private readonly NativeBuffer? _hidden;
    private readonly Lock _abort = new();
    private HugePageWeights? _weights;
    private bool _disposed;

    private OrtModelRunner(InferenceSession session, ModelManifest manifest, EngineCapacity capacity, EngineOptions options, bool givesHidden)
    {
        _session = session;
        VocabSize = manifest.VocabSize;
        _binding = session.CreateIoBinding();
        HiddenSize = givesHidden ? manifest.HiddenSize : 0;
        _logits = new NativeBuffer((long)capacity.LogitRows * manifest.VocabSize * sizeof(float));
        TensorElementType type = manifest.CacheType == CacheType.BFloat16 ? TensorElementType.BFloat16 : TensorElementType.Float;
        int elementBytes = type == TensorElementType.BFloat16 ? 2 : 4;
        for (int i = 0; i < manifest.Caches.Count; i++)
        {
            int width = manifest.Caches[i].Width;
            NativeBuffer cache = new((long)capacity.Pages * options.PageSize * width * elementBytes);
            _caches.Add(cache);
            OrtValue value = OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, type, [capacity.Pages, options.PageSize, width], cache.Pointer, cache.Bytes);
            _cacheValues.Add(value);
        }

        BindCaches(_binding);
        if (givesHidden)
        {
            // Untouched until a step asks for hidden states, so it costs nothing before.
            _hidden = new NativeBuffer((long)options.MaxStepTokens * manifest.HiddenSize * sizeof(float));
            _hiddenBinding = session.CreateIoBinding();
            BindCaches(_hiddenBinding);
        }
    }

    public int VocabSize { get; }

    public int HiddenSize { get; }

    public WeightPlacement Weights { get; private init; } = new();

    /// <summary>Where cache i lies.</summary>
    internal nint CachePointer(int cache) => _caches[cache].Pointer;

    /// <summary>Everything in float32 cache i, [pages, page, width].</summary>
    internal ReadOnlySpan<float> CacheValues(int cache) => new((void*)_caches[cache].Pointer, (int)(_caches[cache].Bytes / sizeof(float)));

    /// <summary>Where the session left output cache_out.i in the last step.</summary>
    internal nint CacheOutputPointer(int cache)
    {
        string[] names = _binding.GetOutputNames();
        using IDisposableReadOnlyCollection<OrtValue> values = _binding.GetOutputValues();
        OrtValue value = values[Array.IndexOf(names, $"cache_out.{cache}")];
        fixed (byte* pointer = value.GetTensorMutableRawData())
        {
            return (nint)pointer;
        }
    }

    public void Run(PackedStep step)
    {
        OrtIoBinding binding = step.WantsHidden ? _hiddenBinding! : _binding;
        try
        {
            BindInput(binding, "input_ids", step.InputIds, step.Tokens);
            BindInput(binding, "position_ids", step.PositionIds, step.Tokens);
            BindInput(binding, "query_start", step.QueryStart, step.Sequences + 1);
            BindInput(binding, "context_length", step.ContextLength, step.Sequences);
            BindInput(binding, "block_table", step.BlockTable, step.Sequences, step.Blocks);
            if (step.NgramContextLength > 0)
            {
                BindInput(binding, "ngram_context", step.NgramContext, step.Sequences, step.NgramContextLength);
            }

            BindInput(binding, "logits_index", step.LogitsIndex, step.Rows);
            BindOutput(binding, "logits", _logits, step.Rows, VocabSize);
            if (step.WantsHidden)
            {
                BindOutput(binding, "hidden", _hidden!, step.Tokens, HiddenSize);
            }

            _session.RunWithBinding(_runOptions, binding);
        }
        finally
        {
            foreach (OrtValue value in _stepValues)
            {
                value.Dispose();
            }

            _stepValues.Clear();
        }
    }

    public ReadOnlySpan<float> Logits(int row) => new((float*)_logits.Pointer + ((long)row * VocabSize), VocabSize);

    public ReadOnlySpan<float> Hidden(int token) => new((float*)_hidden!.Pointer + ((long)token * HiddenSize), HiddenSize);

    public void Abort()
    {
        lock (_abort)
        {
            if (!_disposed)
            {
                _runOptions.Terminate = true;
            }
        }
    }

    public void Dispose()
    {
        lock (_abort)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            _binding.Dispose();
            _hiddenBinding?.Dispose();
            _cacheValues.ForEach(value => value.Dispose());
            _runOptions.Dispose();
            _session.Dispose();
            _weights?.Dispose();
            _caches.ForEach(cache => cache.Dispose());
            _logits.Dispose();
            _hidden?.Dispose();
        }
    }

    private void BindCaches(OrtIoBinding binding)
    {
        for (int i = 0; i < _cacheValues.Count; i++)
        {
            binding.BindInput($"cache.{i}", _cacheValues[i]);
            binding.BindOutput($"cache_out.{i}", _cacheValues[i]);
        }
    }

    private void BindOutput(OrtIoBinding binding, string name, NativeBuffer buffer, int rows, int width)
    {
        OrtValue value = OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, TensorElementType.Float, [rows, width], buffer.Pointer, buffer.Bytes);
        _stepValues.Add(value);
        binding.BindOutput(name, value);
    }

    /// <summary>The arrays are pinned for good, so their address stays good while the session reads them.</summary>
    private void BindInput<T>(OrtIoBinding binding, string name, T[] values, params ReadOnlySpan<long> shape)
        where T : unmanaged
    {
        OrtValue value = OrtValue.CreateTensorValueWithData(
            OrtMemoryInfo.DefaultInstance,
            typeof(T) == typeof(long) ? TensorElementType.Int64 : TensorElementType.Int32,
            shape.ToArray(),
            Marshal.UnsafeAddrOfPinnedArrayElement(values, 0),
            (long)values.Length * sizeof(T));
        _stepValues.Add(value);
        binding.BindInput(name, value);
    }
}

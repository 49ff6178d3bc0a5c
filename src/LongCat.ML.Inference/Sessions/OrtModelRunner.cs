using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Adapters;
using LongCat.ML.Inference.Scheduling;
using Microsoft.ML.OnnxRuntime;

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
    private readonly PagedCaches _caches;
    private readonly StepBinding _step = new();
    private readonly NativeBuffer _logits;
    private readonly NativeBuffer? _hidden;
    private readonly Lock _abort = new();
    private readonly AdapterStack? _adapters;
    private readonly bool _takesBlockTable;
    private readonly SparseInputs? _sparse;
    private HugePageWeights? _weights;
    private bool _disposed;

    private OrtModelRunner(InferenceSession session, ModelManifest manifest, EngineCapacity capacity, EngineOptions options, bool givesHidden, AdapterStack? adapters)
    {
        _adapters = adapters;
        _session = session;
        _takesBlockTable = session.InputNames.Contains("block_table");
        VocabSize = manifest.VocabSize;
        _binding = session.CreateIoBinding();
        HiddenSize = givesHidden ? manifest.HiddenSize : 0;
        _logits = new NativeBuffer((long)capacity.LogitRows * manifest.VocabSize * sizeof(float));
        _caches = new PagedCaches(manifest, capacity.Pages, capacity.StreamingPages, options.PageSize);
        _sparse = manifest.SparseVerification is { } layout ? new SparseInputs(layout, options.Speculation?.Verification, capacity.Pages, options.PageSize) : null;
        _caches.Bind(_binding);
        _sparse?.Bind(_binding);
        adapters?.Bind(_binding);
        if (givesHidden)
        {
            // Untouched until a step asks for hidden states, so it costs nothing before.
            _hidden = new NativeBuffer((long)options.MaxStepTokens * manifest.HiddenSize * sizeof(float));
            _hiddenBinding = session.CreateIoBinding();
            _caches.Bind(_hiddenBinding);
            _sparse?.Bind(_hiddenBinding);
            adapters?.Bind(_hiddenBinding);
        }
    }

    public int VocabSize { get; }

    public int HiddenSize { get; }

    public WeightPlacement Weights { get; private init; } = new();

    public IReadOnlyList<LoadedAdapter> Adapters => _adapters?.Adapters ?? [];

    /// <summary>Changes what sparse rows may leave out; only where the graph was exported for it.</summary>
    public void SetSparse(SparseVerification verification) => _sparse!.Set(verification);

    /// <summary>Where cache i lies.</summary>
    internal nint CachePointer(int cache) => _caches.Pointer(cache);

    /// <summary>Everything in float32 cache i, [pages, page, width].</summary>
    internal ReadOnlySpan<float> CacheValues(int cache) => _caches.Values(cache);

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
            _step.BindInputs(binding, step, _takesBlockTable, withAdapters: _adapters is not null, withSparseRows: _sparse is not null);
            _step.BindOutput(binding, "logits", _logits, step.Rows, VocabSize);
            if (step.WantsHidden)
            {
                _step.BindOutput(binding, "hidden", _hidden!, step.Tokens, HiddenSize);
            }

            _session.RunWithBinding(_runOptions, binding);
        }
        finally
        {
            _step.Release();
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
            _runOptions.Dispose();
            _session.Dispose();
            _weights?.Dispose();
            _adapters?.Dispose();
            _caches.Dispose();
            _sparse?.Dispose();
            _logits.Dispose();
            _hidden?.Dispose();
        }
    }
}

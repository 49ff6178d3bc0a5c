using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Scheduling;
using LongCat.ML.Inference.Speculation;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace LongCat.ML.Inference.Sessions;

/// <summary>Runs draft.onnx, the multi-token-prediction head. Its cache is bound like those of the model: the same pages, written in place.</summary>
internal sealed unsafe class DraftHeadRunner : IDraftHead
{
    private readonly InferenceSession _session;
    private readonly OrtIoBinding _binding;
    private readonly RunOptions _runOptions = new();
    private readonly PagedCaches _caches;
    private readonly StepBinding _step = new();
    private readonly NativeBuffer _input;
    private readonly NativeBuffer _output;
    private readonly NativeBuffer _logits;
    private readonly int _vocabSize;
    private readonly Lock _abort = new();
    private bool _disposed;

    private DraftHeadRunner(InferenceSession session, ModelManifest manifest, EngineOptions options, EngineCapacity capacity)
    {
        _session = session;
        _vocabSize = manifest.VocabSize;
        HiddenSize = manifest.HiddenSize;
        _binding = session.CreateIoBinding();
        _input = new NativeBuffer((long)options.MaxStepTokens * HiddenSize * sizeof(float));
        _output = new NativeBuffer((long)options.MaxStepTokens * HiddenSize * sizeof(float));
        _logits = new NativeBuffer((long)capacity.LogitRows * _vocabSize * sizeof(float));
        _caches = new PagedCaches(manifest, capacity.Pages, streamingPages: 0, options.PageSize);
        _caches.Bind(_binding);
    }

    /// <summary>Opens draft.onnx; its weights stay in the file mapping, most of which the model maps too.</summary>
    /// <param name="folder">The model's folder.</param>
    /// <param name="manifest">The manifest with the draft's caches in the place of the model's.</param>
    /// <param name="options">The engine's options.</param>
    /// <param name="capacity">The engine's pages, and the rows of logits of a run.</param>
    /// <exception cref="InferenceException">ONNX Runtime cannot load the graph, or its names are others.</exception>
    public static DraftHeadRunner Open(string folder, ModelManifest manifest, EngineOptions options, EngineCapacity capacity)
    {
        string path = Path.Combine(folder, ModelManifest.DraftFileName);
        return ModelSession.Open(
            path,
            options,
            OrtModelRunner.Configure,
            graph: null,
            session =>
            {
                OrtModelRunner.CheckNames(path, session, manifest, ["hidden"]);
                return session.OutputNames.Contains("hidden_out")
                    ? new DraftHeadRunner(session, manifest, options, capacity)
                    : throw new InferenceException($"{path} has no output hidden_out. Export the model again.");
            });
    }

    public int HiddenSize { get; }

    public Span<float> HiddenInput(int token) => new((float*)_input.Pointer + ((long)token * HiddenSize), HiddenSize);

    public ReadOnlySpan<float> Logits(int row) => new((float*)_logits.Pointer + ((long)row * _vocabSize), _vocabSize);

    public ReadOnlySpan<float> HiddenOutput(int token) => new((float*)_output.Pointer + ((long)token * HiddenSize), HiddenSize);

    public void Run(PackedStep step)
    {
        try
        {
            _step.BindInputs(_binding, step);
            using OrtValue hidden = OrtValue.CreateTensorValueWithData(
                OrtMemoryInfo.DefaultInstance, TensorElementType.Float, [step.Tokens, HiddenSize], _input.Pointer, _input.Bytes);
            _binding.BindInput("hidden", hidden);
            _step.BindOutput(_binding, "logits", _logits, step.Rows, _vocabSize);
            _step.BindOutput(_binding, "hidden_out", _output, step.Tokens, HiddenSize);
            _session.RunWithBinding(_runOptions, _binding);
        }
        finally
        {
            _step.Release();
        }
    }

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
            _runOptions.Dispose();
            _session.Dispose();
            _caches.Dispose();
            _input.Dispose();
            _output.Dispose();
            _logits.Dispose();
        }
    }
}

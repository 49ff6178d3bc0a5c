using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Scheduling;
using LongCat.ML.Inference.Sessions;
using Microsoft.ML.OnnxRuntime;

namespace LongCat.ML.Inference.Calibration;

/// <summary>A probe graph in ONNX Runtime. What a step leaves in its outputs is read where ONNX Runtime put it.</summary>
internal sealed class ProbeSession : IDisposable
{
    private readonly InferenceSession _session;
    private readonly OrtIoBinding _binding;
    private readonly RunOptions _runOptions = new();
    private readonly StepBinding _step = new();
    private readonly PagedCaches _caches;
    private readonly string[] _outputs;
    private readonly Dictionary<string, OrtValue> _values = new(StringComparer.Ordinal);
    private readonly bool _withSparseRows;
    private IDisposable? _held;

    private ProbeSession(InferenceSession session, PagedCaches caches, string[] outputs, SparseInputs? sparse)
    {
        _withSparseRows = sparse is not null;
        _session = session;
        _caches = caches;
        _outputs = outputs;
        _binding = session.CreateIoBinding();
        _caches.Bind(_binding);
        sparse?.Bind(_binding);
    }

    /// <summary>Opens model.onnx of a probe export, or a graph that was made of it.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="manifest">Its manifest.</param>
    /// <param name="outputs">What is read after a step.</param>
    /// <param name="pages">Pages of every cache.</param>
    /// <param name="pageSize">Tokens of a page.</param>
    /// <param name="threads">Threads; 0 for all cores.</param>
    /// <param name="graph">The graph where it is not the file's; empty for that.</param>
    /// <param name="sparse">What a graph for sparse verification takes; the caller's, to be disposed after the session.</param>
    /// <exception cref="InferenceException">ONNX Runtime cannot load the graph, or it lacks an output.</exception>
    public static ProbeSession Open(
        string folder, ModelManifest manifest, IEnumerable<string> outputs, int pages, int pageSize, int threads, ReadOnlyMemory<byte> graph = default, SparseInputs? sparse = null)
    {
        string path = Path.Combine(folder, ModelManifest.ModelFileName);
        string[] wanted = [.. outputs.Distinct(StringComparer.Ordinal)];
        return ModelSession.Open(path, new EngineOptions { Threads = threads }, OrtModelRunner.Configure, graph.IsEmpty ? null : graph.ToArray(), session =>
        {
            OrtModelRunner.CheckNames(path, session, manifest, []);
            string[] missing = [.. wanted.Except(session.OutputNames)];
            return missing.Length == 0
                ? new ProbeSession(session, new PagedCaches(manifest, pages, pages, pageSize), wanted, sparse)
                : throw new InferenceException($"{path} is no probe export for these sites: it has no outputs {string.Join(", ", missing.Select(name => $"'{name}'"))}. Export it with ExportOptions.Probes.");
        });
    }

    /// <summary>Computes a step; the values of the one before are gone.</summary>
    /// <exception cref="OnnxRuntimeException">The step failed, or <see cref="Abort"/> was called.</exception>
    public void Run(PackedStep step)
    {
        Forget();
        try
        {
            _step.BindInputs(_binding, step, withBlockTable: _session.InputNames.Contains("block_table"), withSparseRows: _withSparseRows);
            foreach (string name in _outputs)
            {
                // Bound anew for every step: ONNX Runtime keeps the value of the last one, whose shape is another.
                _binding.BindOutputToDevice(name, OrtMemoryInfo.DefaultInstance);
            }

            _session.RunWithBinding(_runOptions, _binding);
        }
        finally
        {
            _step.Release();
        }

        IDisposableReadOnlyCollection<OrtValue> values = _binding.GetOutputValues();
        _held = values;
        string[] names = _binding.GetOutputNames();
        for (int i = 0; i < names.Length; i++)
        {
            _values[names[i]] = values[i];
        }
    }

    /// <summary>A value of the last step, valid until the next. Callable from several threads.</summary>
    public ReadOnlySpan<T> Read<T>(string name)
        where T : unmanaged => _values[name].GetTensorDataAsSpan<T>();

    /// <summary>The shape of a value of the last step.</summary>
    public long[] ShapeOf(string name) => _values[name].GetTensorTypeAndShape().Shape;

    /// <summary>Makes a running step end soon with an exception, and every later one. Callable from any thread while the session is open.</summary>
    public void Abort() => _runOptions.Terminate = true;

    public void Dispose()
    {
        Forget();
        _binding.Dispose();
        _runOptions.Dispose();
        _session.Dispose();
        _caches.Dispose();
    }

    private void Forget()
    {
        _values.Clear();
        _held?.Dispose();
        _held = null;
    }
}

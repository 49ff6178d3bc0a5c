using Microsoft.ML.OnnxRuntime;

namespace LongCat.ML.Inference.Sessions;

/// <summary>Opening a model, as every runner does it: the options that all share, and errors that name the file.</summary>
internal static class ModelSession
{
    /// <summary>Opens the graph and makes a runner of it, which then owns the session.</summary>
    /// <param name="path">model.onnx.</param>
    /// <param name="options">The engine's options.</param>
    /// <param name="configure">Adds the runner's own session options.</param>
    /// <param name="graph">The graph where it is not the file's; its data files lie beside <paramref name="path"/> all the same.</param>
    /// <param name="create">Makes the runner; what it throws closes the session.</param>
    /// <exception cref="InferenceException">ONNX Runtime cannot load the graph, a native library is missing, or <paramref name="create"/> refused the graph.</exception>
    public static T Open<T>(string path, EngineOptions options, Action<SessionOptions> configure, byte[]? graph, Func<InferenceSession, T> create)
    {
        InferenceSession? session = null;
        try
        {
            using SessionOptions sessionOptions = new()
            {
                LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR,
                ExecutionMode = ExecutionMode.ORT_SEQUENTIAL,
                IntraOpNumThreads = options.Threads == 0 ? Environment.ProcessorCount : options.Threads,
                InterOpNumThreads = 1,

                // Shapes change with every step: a memory plan for each of them would be kept and never used again.
                EnableMemoryPattern = false,
            };

            // Between two operators threads wait this long without sleeping: waking one takes about as long as a small operator. Threads that spin for longer, as they do
            // by default, steal the cores that other processes' threads wait for: on a busy machine steps took several times as long.
            sessionOptions.AddSessionConfigEntry("session.intra_op.allow_spinning", "1");
            sessionOptions.AddSessionConfigEntry("session.intra_op.spin_duration_us", "50");
            configure(sessionOptions);
            if (graph is null)
            {
                session = new InferenceSession(path, sessionOptions);
            }
            else
            {
                // A graph from memory has no folder of its own.
                sessionOptions.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", Path.GetDirectoryName(Path.GetFullPath(path))!);
                session = new InferenceSession(graph, sessionOptions);
            }

            return create(session);
        }
        catch (OnnxRuntimeException exception)
        {
            session?.Dispose();
            throw new InferenceException($"{path}: ONNX Runtime {OrtEnv.Instance().GetVersionString()} cannot open the model: {exception.Message}", exception);
        }
        catch (DllNotFoundException exception)
        {
            session?.Dispose();
            throw new InferenceException($"{path}: a native library is missing: {exception.Message}", exception);
        }
        catch
        {
            session?.Dispose();
            throw;
        }
    }
}

using LongCat.ML.Checkpoints;
using LongCat.ML.Native;
using Microsoft.ML.OnnxRuntime;

namespace LongCat.ML.Inference.Sessions;

internal sealed unsafe partial class OrtModelRunner
{
    /// <summary>Opens model.onnx; its weights stay in the file mapping.</summary>
    /// <exception cref="InferenceException">ONNX Runtime cannot load the graph, or the graph and longcat.json disagree.</exception>
    public static OrtModelRunner Open(string folder, ModelManifest manifest, EngineOptions options, EngineCapacity capacity)
    {
        string path = Path.Combine(folder, ModelManifest.ModelFileName);
        InferenceSession? session = null;
        try
        {
            using SessionOptions sessionOptions = CreateSessionOptions(options);
            session = new InferenceSession(path, sessionOptions);
            CheckNames(path, session, manifest);
            return new OrtModelRunner(session, manifest, capacity, options, session.OutputNames.Contains("hidden"));
        }
        catch (OnnxRuntimeException exception)
        {
            session?.Dispose();
            throw new InferenceException($"{path}: ONNX Runtime {OrtEnv.Instance().GetVersionString()} cannot open the model: {exception.Message}", exception);
        }
        catch (DllNotFoundException exception)
        {
            throw new InferenceException($"{path}: a native library is missing: {exception.Message}", exception);
        }
        catch (InferenceException)
        {
            session?.Dispose();
            throw;
        }
    }

    private static SessionOptions CreateSessionOptions(EngineOptions options)
    {
        SessionOptions session = new()
        {
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR,
            ExecutionMode = ExecutionMode.ORT_SEQUENTIAL,
            IntraOpNumThreads = options.Threads == 0 ? Environment.ProcessorCount : options.Threads,
            InterOpNumThreads = 1,

            // Shapes change with every step: a memory plan for each of them would be kept and never used again.
            EnableMemoryPattern = false,
        };
        try
        {
            // Pre-packing copies weights out of the file mapping: start-up time and memory grow with the model.
            session.AddSessionConfigEntry("session.disable_prepacking", "1");

            // Threads that spin between operators steal the cores that other processes' threads wait for: on a busy machine steps took eight times as long.
            session.AddSessionConfigEntry("session.intra_op.allow_spinning", "0");
            session.RegisterCustomOpLibraryV2(NativeLibraryLocator.Find(), out _);
            return session;
        }
        catch
        {
            session.Dispose();
            throw;
        }
    }

    private static void CheckNames(string path, InferenceSession session, ModelManifest manifest)
    {
        List<string> inputs = ["input_ids", "position_ids", "query_start", "context_length", "block_table", "logits_index"];
        List<string> outputs = ["logits"];
        if (manifest.NgramNeighbors > 0)
        {
            inputs.Add("ngram_context");
        }

        for (int i = 0; i < manifest.Caches.Count; i++)
        {
            inputs.Add($"cache.{i}");
            outputs.Add($"cache_out.{i}");
        }

        string[] missing = [.. inputs.Except(session.InputNames), .. outputs.Except(session.OutputNames)];
        string[] unknown = [.. session.InputNames.Except(inputs)];
        if (missing.Length + unknown.Length > 0)
        {
            throw new InferenceException(
                $"{path} does not fit {ModelManifest.FileName}: missing inputs or outputs [{string.Join(", ", missing)}], unexpected inputs [{string.Join(", ", unknown)}]. Export the model again.");
        }
    }
}

using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Adapters;
using LongCat.ML.Inference.Paging;
using LongCat.ML.Native;
using LongCat.ML.Onnx.Adapters;
using Microsoft.ML.OnnxRuntime;

namespace LongCat.ML.Inference.Sessions;

internal sealed unsafe partial class OrtModelRunner
{
    /// <summary>Opens model.onnx, rewritten where there are adapters; its weights stay in the file mapping unless the options ask for huge pages.</summary>
    /// <exception cref="AdapterException">The folder of an adapter holds none, or a damaged one.</exception>
    /// <exception cref="InferenceException">ONNX Runtime cannot load the graph, the graph and longcat.json disagree, or an adapter does not fit.</exception>
    public static OrtModelRunner Open(string folder, ModelManifest manifest, EngineOptions options, EngineCapacity capacity)
    {
        string path = Path.Combine(folder, ModelManifest.ModelFileName);
        AdapterStack? adapters = AdapterStack.Load(folder, options);
        HugePageWeights? weights = null;
        try
        {
            weights = HugePageWeights.TryLoad(path, options, out WeightPlacement placement);
            return ModelSession.Open(
                path,
                options,
                session =>
                {
                    Configure(session);
                    weights?.AddTo(session);
                },
                adapters?.Graph,
                session =>
                {
                    CheckNames(path, session, manifest, adapters is null ? [] : [AdapterNames.RowAdapter, .. adapters.Inputs]);
                    return new OrtModelRunner(session, manifest, capacity, options, session.OutputNames.Contains("hidden"), adapters) { Weights = placement, _weights = weights };
                });
        }
        catch
        {
            weights?.Dispose();
            adapters?.Dispose();
            throw;
        }
    }

    /// <summary>The session options of a graph with the longcat operators.</summary>
    internal static void Configure(SessionOptions session)
    {
        // Pre-packing copies weights out of the file mapping: start-up time and memory grow with the model.
        session.AddSessionConfigEntry("session.disable_prepacking", "1");
        session.RegisterCustomOpLibraryV2(NativeLibraryLocator.Find(), out _);
    }

    /// <exception cref="InferenceException">The graph and longcat.json disagree.</exception>
    internal static void CheckNames(string path, InferenceSession session, ModelManifest manifest, IEnumerable<string> adapterInputs)
    {
        List<string> inputs = ["input_ids", "position_ids", "query_start", "context_length", "logits_index", .. adapterInputs];
        List<string> outputs = ["logits"];
        bool full = Enumerable.Range(0, manifest.Caches.Count).Any(cache => !StreamingPattern.IsStreaming(manifest, cache));
        if (full || session.InputNames.Contains("block_table"))
        {
            inputs.Add("block_table");
        }

        if (manifest.Streaming is not null)
        {
            inputs.Add("streaming_block_table");
        }

        if (manifest.NgramNeighbors > 0)
        {
            inputs.Add("ngram_context");
        }

        if (manifest.SparseVerification is { } sparse)
        {
            (IEnumerable<string> sparseInputs, IEnumerable<string> sparseOutputs) = SparseInputs.Names(sparse);
            inputs.AddRange(sparseInputs);
            outputs.AddRange(sparseOutputs);
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

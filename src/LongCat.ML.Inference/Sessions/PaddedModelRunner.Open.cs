using LongCat.ML.Checkpoints;
using Microsoft.ML.OnnxRuntime;

namespace LongCat.ML.Inference.Sessions;

internal sealed unsafe partial class PaddedModelRunner
{
    private const string Past = "past_key_values.";

    /// <summary>Opens model.onnx.</summary>
    /// <exception cref="InferenceException">ONNX Runtime cannot load the graph, or the graph and longcat.json disagree.</exception>
    public static PaddedModelRunner Open(string folder, ModelManifest manifest, EngineOptions options, EngineCapacity capacity)
    {
        string path = Path.Combine(folder, ModelManifest.ModelFileName);

        if (options.Adapters.Count > 0)
        {
            throw new InferenceException(
                $"{folder} was exported with standard operators, which cannot mix adapters in a batch. Export it with the longcat operators (without --ops standard), or merge the adapter: "
                + "longcat export <checkpoint> --adapter <peft folder>.");
        }

        // No operator library: the graph needs none. Matrices are packed when the session is made, which is the fastest for ONNX Runtime's own products.
        return ModelSession.Open(path, options, static _ => { }, graph: null, session =>
        {
            (string Name, int Heads, int Dim)[] caches = [.. session.InputNames.Where(name => name.StartsWith(Past, StringComparison.Ordinal)).Select(name => Shape(session, name))];
            CheckNames(path, session, manifest, caches);
            return new PaddedModelRunner(session, manifest, capacity, options, new SlotCaches(capacity.Pages, options.PageSize, caches));
        });
    }

    private static (string Name, int Heads, int Dim) Shape(InferenceSession session, string name)
    {
        int[] dimensions = session.InputMetadata[name].Dimensions;
        return dimensions.Length == 4 && dimensions[1] > 0 && dimensions[3] > 0
            ? (name[Past.Length..], dimensions[1], dimensions[3])
            : throw new InferenceException($"the cache {name} has the shape [{string.Join(", ", dimensions)}]; [batch, heads, longest, dim] with known heads and dim is expected. Export the model again.");
    }

    private static void CheckNames(string path, InferenceSession session, ModelManifest manifest, (string Name, int Heads, int Dim)[] caches)
    {
        List<string> inputs = ["input_ids", "attention_mask"];
        if (manifest.NgramNeighbors > 0)
        {
            inputs.Add("ngram_context");
        }

        string[] known = [.. inputs, "position_ids", .. caches.Select(cache => Past + cache.Name)];
        string[] outputs = ["logits", "hidden_states", .. caches.Select(cache => $"present.{cache.Name}")];
        string[] missing = [.. inputs.Except(session.InputNames), .. outputs.Except(session.OutputNames)];
        string[] unknown = [.. session.InputNames.Except(known)];
        int width = caches.Sum(cache => cache.Heads * cache.Dim);
        int recorded = manifest.Caches.Sum(cache => cache.Width);
        if (missing.Length + unknown.Length > 0 || width != recorded || !session.OverridableInitializerMetadata.ContainsKey("logits_from"))
        {
            throw new InferenceException(
                $"{path} does not fit {ModelManifest.FileName}: missing inputs or outputs [{string.Join(", ", missing)}], unexpected inputs [{string.Join(", ", unknown)}], "
                + $"{width} values of a token in the caches, {recorded} recorded. Export the model again.");
        }
    }
}

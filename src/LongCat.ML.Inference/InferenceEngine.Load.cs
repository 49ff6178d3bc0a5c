using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Sessions;
using LongCat.ML.Inference.Text;

namespace LongCat.ML.Inference;

public sealed partial class InferenceEngine
{
    /// <summary>
    /// Opens an exported model folder and starts the engine. Weights and n-gram tables stay in the file mapping, so even a large folder opens in under a second.
    /// </summary>
    /// <param name="folder">A folder that <c>longcat export</c> wrote.</param>
    /// <param name="options">How the engine uses the machine; null for the defaults.</param>
    /// <returns>A running engine, to be disposed by the caller.</returns>
    /// <exception cref="CheckpointException">The folder is no exported model, a file is missing, or its length or (if asked for) its hash is wrong.</exception>
    /// <exception cref="InferenceException">ONNX Runtime cannot load the graph, a native library is missing, not one page fits the memory budget, or an adapter does not fit the model.</exception>
    /// <exception cref="AdapterException">The folder of one of <see cref="EngineOptions.Adapters"/> holds no adapter, or a damaged one.</exception>
    /// <exception cref="ArgumentException">An option is outside its range, or an adapter has no name or no folder.</exception>
    public static InferenceEngine Load(string folder, EngineOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        options ??= new EngineOptions();
        options.Check();
        ModelManifest manifest = ModelManifest.Read(folder);
        if (options.VerifyWeights)
        {
            manifest.VerifyFiles(folder);
        }

        string tokenizer = Path.Combine(folder, "tokenizer.json");
        TokenizerCodec? codec = File.Exists(tokenizer) ? new TokenizerCodec(HuggingFaceTokenizer.Load(tokenizer)) : null;
        if (manifest.Operators == OperatorSet.Standard)
        {
            (EngineCapacity slots, options) = EngineCapacity.ComputeSlots(manifest, options);
            return new InferenceEngine(manifest, codec, PaddedModelRunner.Open(folder, manifest, options, slots), options, slots);
        }

        EngineCapacity capacity = EngineCapacity.Compute(manifest, options);
        OrtModelRunner runner = OrtModelRunner.Open(folder, manifest, options, capacity);
        try
        {
            return new InferenceEngine(manifest, codec, runner, options, capacity);
        }
        catch
        {
            // Tables beside the caches: where there is no memory for them, session and caches must not stay behind.
            runner.Dispose();
            throw;
        }
    }
}

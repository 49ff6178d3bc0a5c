using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Sampling;
using LongCat.ML.Inference.Sessions;
using LongCat.ML.Inference.Speculation;
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
    /// <exception cref="InferenceException">ONNX Runtime cannot load the graph, a native library is missing, not one page fits the memory budget, an adapter does not fit the model, or what <see cref="EngineOptions.Speculation"/> asks for is not there or does not fit.</exception>
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

        options = SparseSetup.Complete(folder, manifest, options);
        string tokenizer = Path.Combine(folder, "tokenizer.json");
        TokenizerCodec? codec = File.Exists(tokenizer) ? new TokenizerCodec(HuggingFaceTokenizer.Load(tokenizer)) : null;
        DraftSource? draft = DraftSource.Find(folder, manifest, options);
        Sampler sampler = new();
        if (manifest.Operators == OperatorSet.Standard)
        {
            (EngineCapacity slots, options) = EngineCapacity.ComputeSlots(manifest, options);
            return new InferenceEngine(manifest, codec, PaddedModelRunner.Open(folder, manifest, options, slots), options, slots, draft?.Open(options, slots), sampler);
        }

        EngineCapacity capacity = EngineCapacity.Compute(manifest, options, draft?.Manifest);
        OrtModelRunner runner = OrtModelRunner.Open(folder, manifest, options, capacity);
        Speculator? speculator = null;
        try
        {
            speculator = draft?.Open(options, capacity);
            return new InferenceEngine(manifest, codec, runner, options, capacity, speculator, sampler);
        }
        catch
        {
            // Tables beside the caches: where there is no memory for them, sessions and caches must not stay behind.
            speculator?.Dispose();
            runner.Dispose();
            throw;
        }
    }
}

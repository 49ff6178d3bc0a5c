using LongCat.ML.Checkpoints;
using LongCat.ML.Models;

namespace LongCat.ML.Engines;

/// <summary>Opens models.</summary>
internal static class EngineOpener
{
    // Reading and hashing this much takes about as long as starting the engine; above it, lengths and the manifest's own hash are checked.
    private const long AlwaysVerifiedBytes = 64L << 20;

    /// <summary>Opens an engine of another make where the manifest's architecture is this one's; for tests.</summary>
    internal static (string Architecture, Func<string, EngineSettings, ITextEngine> Open)? Substitute { get; set; }

    public static ITextEngine OpenEngine(string folder, EngineSettings settings, string device)
    {
        ModelManifest manifest = ModelManifest.Read(folder);
        if (settings.VerifyWeights || manifest.Files.Values.Sum(file => file.Bytes) <= AlwaysVerifiedBytes)
        {
            manifest.VerifyFiles(folder);
        }

        return Substitute is { } substitute && substitute.Architecture == manifest.Architecture
            ? substitute.Open(folder, settings)
            : InferenceTextEngine.Open(folder, settings, device);
    }

    public static ITextTokenizer OpenTokenizer(string path) => new FileTokenizer(HuggingFaceTokenizer.Load(ModelReference.TokenizerPath(path)));

    private sealed class FileTokenizer(HuggingFaceTokenizer tokenizer) : ITextTokenizer
    {
        public int[] Encode(string text) => [.. tokenizer.Encode(text)];

        public void Dispose()
        {
        }
    }
}

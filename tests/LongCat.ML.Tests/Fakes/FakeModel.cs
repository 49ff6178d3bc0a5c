using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using LongCat.ML.Checkpoints;
using LongCat.ML.Engines;

namespace LongCat.ML.Tests.Fakes;

/// <summary>A model folder with a true manifest and the fake engine behind it.</summary>
internal sealed class FakeModel : IDisposable
{
    private const string Architecture = "FakeForTests";
    private static readonly ConcurrentDictionary<string, FakeEngine> Engines = new();
    private static int opened;

    public FakeModel(string weights = "weights")
    {
        Root = Directory.CreateTempSubdirectory("longcat-ml-").FullName;
        Folder = Path.Combine(Root, "model");
        Write(Folder, weights);
    }

    public string Root { get; }

    public string Folder { get; private set; }

    /// <summary>How often an engine was opened in this process.</summary>
    public static int Opened => Volatile.Read(ref opened);

    /// <summary>The engine that was opened last on this folder.</summary>
    public FakeEngine Engine => Engines[Folder];

    public string FileInRoot(string name) => Path.Combine(Root, name);

    /// <summary>Puts a chat template into the folder; the fake engine never renders it.</summary>
    public void AddChatTemplate() => File.WriteAllText(Path.Combine(Folder, "chat_template.jinja"), "{{ messages }}");

    public void MoveTo(string name)
    {
        string target = Path.Combine(Root, name);
        Directory.CreateDirectory(Path.GetDirectoryName(target)!);
        Directory.Move(Folder, target);
        Folder = target;
    }

    public static void Write(string folder, string weights)
    {
        Directory.CreateDirectory(folder);
        byte[] content = System.Text.Encoding.UTF8.GetBytes(weights);
        File.WriteAllBytes(Path.Combine(folder, ModelManifest.ModelFileName), content);
        new ModelManifest
        {
            Architecture = Architecture,
            Precision = WeightPrecision.F32,
            VocabSize = 16,
            HiddenSize = FakeEngine.HiddenSize,
            MaxPositions = FakeEngine.MaxPositions,
            EosTokenIds = [2],
            Caches = [new CacheLayout(4)],
            Files = new Dictionary<string, ManifestFile>
            {
                [ModelManifest.ModelFileName] = new(content.Length, Convert.ToHexStringLower(SHA256.HashData(content))),
            },
        }.Write(folder);
    }

    public void Dispose()
    {
        EngineCache.Shared.Release(_ => true);
        LongCatOptions.ModelSearchPath = [];
        Directory.Delete(Root, recursive: true);
    }

    [ModuleInitializer]
    internal static void Install() => EngineOpener.Substitute = (Architecture, (folder, settings) =>
    {
        Interlocked.Increment(ref opened);
        var engine = new FakeEngine { Adapters = [.. settings.Adapters.Keys] };
        Engines[folder] = engine;
        return engine;
    });
}

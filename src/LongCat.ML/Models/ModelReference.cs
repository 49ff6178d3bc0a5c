using System.Security.Cryptography;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Models;

/// <summary>What a step runs on.</summary>
internal enum ModelKind
{
    /// <summary>An exported model's folder.</summary>
    Engine,

    /// <summary>A tokenizer.json.</summary>
    Tokenizer,

    /// <summary>An adapter's folder in the format of PEFT.</summary>
    Adapter,
}

/// <summary>A model, known by its content; the path is where it lay last.</summary>
internal sealed record ModelReference(ModelKind Kind, string ContentHash, string Path)
{
    public const string TokenizerFile = "tokenizer.json";
    public const string AdapterFile = "adapter_config.json";

    /// <summary>The adapters that it runs with, by name and in their order.</summary>
    public IReadOnlyList<(string Name, ModelReference Adapter)> Adapters { get; init; } = [];

    /// <summary>What it is, in words.</summary>
    public string What => Kind switch
    {
        ModelKind.Engine => "model",
        ModelKind.Tokenizer => "tokenizer",
        _ => "adapter",
    };

    /// <summary>The file that tells a folder with such a thing.</summary>
    public static string MarkerOf(ModelKind kind) => kind switch
    {
        ModelKind.Engine => ModelManifest.FileName,
        ModelKind.Tokenizer => TokenizerFile,
        _ => AdapterFile,
    };

    /// <summary>Reads what identifies a model and the adapters that it is to run with.</summary>
    /// <exception cref="CheckpointException">There is no such model.</exception>
    /// <exception cref="AdapterException">There is no adapter in one of the folders, or it is damaged.</exception>
    public static ModelReference Read(ModelKind kind, string path, IReadOnlyDictionary<string, string> adapters) => Read(kind, path) with
    {
        Adapters = [.. adapters.Select(pair => (pair.Key, Read(ModelKind.Adapter, pair.Value)))],
    };

    /// <summary>Reads what identifies the model at <paramref name="path"/>.</summary>
    /// <exception cref="CheckpointException">There is no such model.</exception>
    public static ModelReference Read(ModelKind kind, string path)
    {
        string full = System.IO.Path.GetFullPath(path);
        return new ModelReference(kind, HashOf(kind, full), full);
    }

    public static string HashOf(ModelKind kind, string path)
    {
        if (kind == ModelKind.Engine)
        {
            return ModelManifest.Read(path).ContentHash;
        }

        if (kind == ModelKind.Adapter)
        {
            using PeftAdapter adapter = PeftAdapter.Load(path);
            return adapter.ContentHash;
        }

        string file = TokenizerPath(path);
        if (!File.Exists(file))
        {
            throw new CheckpointException(file, "does not exist; expected a tokenizer.json or a folder that holds one.");
        }

        return Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(file)));
    }

    public static string TokenizerPath(string path) => Directory.Exists(path) ? System.IO.Path.Combine(path, TokenizerFile) : path;
}

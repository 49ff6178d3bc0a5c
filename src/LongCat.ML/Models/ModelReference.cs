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
}

/// <summary>A model, known by its content; the path is where it lay last.</summary>
internal sealed record ModelReference(ModelKind Kind, string ContentHash, string Path)
{
    public const string TokenizerFile = "tokenizer.json";

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

        string file = TokenizerPath(path);
        if (!File.Exists(file))
        {
            throw new CheckpointException(file, "does not exist; expected a tokenizer.json or a folder that holds one.");
        }

        return Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(file)));
    }

    public static string TokenizerPath(string path) => Directory.Exists(path) ? System.IO.Path.Combine(path, TokenizerFile) : path;
}

using System.IO.Compression;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using Microsoft.ML.Transforms;

namespace Microsoft.ML;

/// <summary>
/// One transformer of a saved model being written: an entry <c>Model.key</c> in its own folder of the zip. As in the real library
/// an outsider can do nothing with it but pass it to a public transformer.
/// </summary>
public sealed class ModelSaveContext : IDisposable
{
    private readonly ZipArchive archive;
    private readonly string directory;
    private readonly MemoryStream buffer = new();
    private string signature;

    internal ModelSaveContext(ZipArchive archive, string directory)
    {
        this.archive = archive;
        this.directory = directory;
        Writer = new BinaryWriter(buffer);
    }

    internal BinaryWriter Writer { get; }

    public void Dispose() => Writer.Dispose();

    internal static void Write(ZipArchive archive, ICanSaveModel model, string directory)
    {
        using var ctx = new ModelSaveContext(archive, directory);
        model.Save(ctx);
        ctx.Writer.Flush();
        using var entry = new BinaryWriter(archive.CreateEntry($"{directory}/Model.key").Open());
        entry.Write(ctx.signature ?? throw new InvalidOperationException($"{model.GetType()} wrote no header"));
        entry.Write(ctx.buffer.ToArray());
    }

    internal void Begin(string loaderSignature) => signature = loaderSignature;

    internal void SaveModel(ICanSaveModel model, string name) => Write(archive, model, $"{directory}/{name}");
}

/// <summary>One transformer of a saved model being read.</summary>
internal sealed class ModelLoadContext
{
    private static readonly Dictionary<string, Func<IHostEnvironment, ModelLoadContext, ITransformer>> Loaders = new()
    {
        [TransformerChain.Signature] = TransformerChain.Load,
        [ColumnCopyingTransformer.Signature] = (_, ctx) => ColumnCopyingTransformer.Load(ctx),
        [ColumnConcatenatingTransformer.Signature] = (_, ctx) => ColumnConcatenatingTransformer.Load(ctx),
        [ColumnSelectingTransformer.Signature] = (_, ctx) => ColumnSelectingTransformer.Load(ctx),
        [ExpressionTransformer.Signature] = (_, ctx) => ExpressionTransformer.Load(ctx),
        [ValueToKeyMappingTransformer.Signature] = (_, ctx) => ValueToKeyMappingTransformer.Load(ctx),
        [KeyToValueMappingTransformer.Signature] = (_, ctx) => KeyToValueMappingTransformer.Load(ctx),
        [CustomMappingContract.Signature] = CustomMappingContract.Load,
    };

    private readonly ZipArchive archive;
    private readonly string directory;

    private ModelLoadContext(ZipArchive archive, string directory, BinaryReader reader)
    {
        this.archive = archive;
        this.directory = directory;
        Reader = reader;
    }

    internal BinaryReader Reader { get; }

    internal static ITransformer Read(ZipArchive archive, IHostEnvironment env, string directory)
    {
        ZipArchiveEntry entry = archive.GetEntry($"{directory}/Model.key") ?? throw new FormatException($"The model has no entry '{directory}/Model.key'");
        using var reader = new BinaryReader(entry.Open());
        string signature = reader.ReadString();
        return Loaders.TryGetValue(signature, out Func<IHostEnvironment, ModelLoadContext, ITransformer> load)
            ? load(env, new ModelLoadContext(archive, directory, reader))
            : throw new FormatException($"Unknown loader signature '{signature}'");
    }

    internal ITransformer LoadModel(IHostEnvironment env, string name) => Read(archive, env, $"{directory}/{name}");
}

using System.IO.Compression;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML;

/// <summary>
/// Saves and loads models. A model is a zip that holds one entry per transformer and the input schema (names and types, without
/// annotations); loading sees nothing but the zip. The format is this stand-in's own.
/// </summary>
public sealed class ModelOperationsCatalog
{
    private const string Root = "TransformerChain";
    private const string SchemaEntry = "Schema";
    private readonly IHostEnvironment env;

    internal ModelOperationsCatalog(IHostEnvironment env) => this.env = env;

    public void Save(ITransformer model, DataViewSchema inputSchema, string filePath)
    {
        using FileStream stream = File.Create(filePath);
        Save(model, inputSchema, stream);
    }

    public void Save(ITransformer model, DataViewSchema inputSchema, Stream stream)
    {
        using var archive = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true);
        ModelSaveContext.Write(archive, model, Root);
        if (inputSchema is not null)
        {
            using var writer = new BinaryWriter(archive.CreateEntry(SchemaEntry).Open());
            DataViewSchema.Column[] visible = [.. inputSchema];
            writer.Write(visible.Length);
            foreach (DataViewSchema.Column column in visible)
            {
                writer.Write(column.Name);
                WriteType(writer, column.Type);
            }
        }
    }

    public ITransformer Load(string filePath, out DataViewSchema inputSchema)
    {
        using FileStream stream = File.OpenRead(filePath);
        return Load(stream, out inputSchema);
    }

    public ITransformer Load(Stream stream, out DataViewSchema inputSchema)
    {
        using var archive = new ZipArchive(stream, ZipArchiveMode.Read, leaveOpen: true);
        inputSchema = null;
        if (archive.GetEntry(SchemaEntry) is { } entry)
        {
            using var reader = new BinaryReader(entry.Open());
            var builder = new DataViewSchema.Builder();
            for (int left = reader.ReadInt32(); left > 0; left--)
            {
                builder.AddColumn(reader.ReadString(), ReadType(reader));
            }

            inputSchema = builder.ToSchema();
        }

        return ModelLoadContext.Read(archive, env, Root);
    }

    public PredictionEngine<TSrc, TDst> CreatePredictionEngine<TSrc, TDst>(
        ITransformer transformer, bool ignoreMissingColumns = true, SchemaDefinition inputSchemaDefinition = null, SchemaDefinition outputSchemaDefinition = null)
        where TSrc : class
        where TDst : class, new() =>
        new(transformer, ignoreMissingColumns, inputSchemaDefinition, outputSchemaDefinition);

    private static void WriteType(BinaryWriter writer, DataViewType type)
    {
        var vector = type as VectorDataViewType;
        writer.Write(vector?.Dimensions.Length ?? 0);
        foreach (int dimension in vector?.Dimensions ?? [])
        {
            writer.Write(dimension);
        }

        DataViewType item = vector?.ItemType ?? type;
        writer.Write((item as KeyDataViewType)?.Count ?? 0);
        writer.Write(item.RawType == typeof(ReadOnlyMemory<char>) ? typeof(string).FullName : item.RawType.FullName);
    }

    private static DataViewType ReadType(BinaryReader reader)
    {
        int[] dimensions = [.. Enumerable.Range(0, reader.ReadInt32()).Select(_ => reader.ReadInt32())];
        ulong count = reader.ReadUInt64();
        string name = reader.ReadString();
        Type raw = Type.GetType(name) ?? typeof(DataViewRowId).Assembly.GetType(name, throwOnError: true);
        PrimitiveDataViewType item = count > 0 ? new KeyDataViewType(raw, count) : PrimitiveDataViewType.From(raw);
        return dimensions.Length > 0 ? new VectorDataViewType(item, dimensions) : item;
    }
}

using System.Text.Json;

namespace LongCat.ML.Checkpoints;

public sealed partial record ModelManifest
{
    /// <summary>Writes <c>longcat.json</c> into <paramref name="folder"/>. The file appears under its name only when it is complete.</summary>
    /// <param name="folder">An existing folder.</param>
    /// <exception cref="CheckpointException">The manifest contradicts itself (see <see cref="Read"/>).</exception>
    /// <exception cref="IOException">The file could not be written.</exception>
    public void Write(string folder)
    {
        string path = Path.Combine(folder, FileName);
        Check(path);
        string partial = path + ".partial";
        try
        {
            using (FileStream stream = new(partial, FileMode.Create, FileAccess.Write))
            using (Utf8JsonWriter writer = new(stream, new JsonWriterOptions { Indented = true }))
            {
                WriteTo(writer);
            }

            File.Move(partial, path, overwrite: true);
        }
        catch
        {
            File.Delete(partial);
            throw;
        }
    }

    private void WriteTo(Utf8JsonWriter writer)
    {
        writer.WriteStartObject();
        writer.WriteNumber("format_version", CurrentFormatVersion);
        writer.WriteString("architecture", Architecture);
        if (Operators == OperatorSet.Standard)
        {
            writer.WriteString("ops", "standard");
        }

        writer.WriteString("precision", PrecisionName(Precision));
        writer.WriteNumber("vocab_size", VocabSize);
        writer.WriteNumber("hidden_size", HiddenSize);
        writer.WriteNumber("max_positions", MaxPositions);
        if (BosTokenId is int bos)
        {
            writer.WriteNumber("bos_token_id", bos);
        }

        writer.WriteStartArray("eos_token_ids");
        foreach (int id in EosTokenIds)
        {
            writer.WriteNumberValue(id);
        }

        writer.WriteEndArray();
        writer.WriteNumber("ngram_neighbors", NgramNeighbors);
        WriteCaches(writer, "caches", Caches);
        if (DraftCaches is not null)
        {
            WriteCaches(writer, "draft_caches", DraftCaches);
        }

        writer.WriteString("cache_type", CacheTypeName(CacheType));
        if (Streaming is { } streaming)
        {
            writer.WriteStartObject("streaming");
            writer.WriteNumber("block_size", streaming.BlockSize);
            writer.WriteNumber("sink_blocks", streaming.SinkBlocks);
            writer.WriteNumber("local_blocks", streaming.LocalBlocks);
            writer.WriteStartArray("caches");
            foreach (int cache in streaming.AttentionLayers)
            {
                writer.WriteNumberValue(cache);
            }

            writer.WriteEndArray();
            writer.WriteEndObject();
        }

        if (SparseVerification is { } sparse)
        {
            writer.WriteStartObject("sparse_verification");
            writer.WriteNumber("attentions", sparse.Attentions);
            writer.WriteStartArray("mean_widths");
            foreach (int width in sparse.MeanWidths)
            {
                writer.WriteNumberValue(width);
            }

            writer.WriteEndArray();
            writer.WriteNumber("ffn_layers", sparse.FfnLayers);
            writer.WriteNumber("moe_layers", sparse.MoeLayers);
            writer.WriteNumber("topk", sparse.TopK);
            writer.WriteEndObject();
        }

        writer.WriteStartObject("files");
        foreach ((string name, ManifestFile file) in Files.OrderBy(pair => pair.Key, StringComparer.Ordinal))
        {
            writer.WriteStartObject(name);
            writer.WriteNumber("bytes", file.Bytes);
            writer.WriteString("sha256", file.Sha256);
            writer.WriteEndObject();
        }

        writer.WriteEndObject();
        writer.WriteString("content_hash", ContentHash);
        writer.WriteEndObject();
    }

    private static void WriteCaches(Utf8JsonWriter writer, string name, IReadOnlyList<CacheLayout> caches)
    {
        writer.WriteStartArray(name);
        foreach (CacheLayout cache in caches)
        {
            writer.WriteStartObject();
            writer.WriteNumber("width", cache.Width);
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
    }

    private static string PrecisionName(WeightPrecision precision) => precision switch
    {
        WeightPrecision.BF16 => "bf16",
        WeightPrecision.Int4 => "int4",
        WeightPrecision.W4A8 => "w4a8",
        _ => "f32",
    };

    private static string CacheTypeName(CacheType type) => type switch
    {
        CacheType.BFloat16 => "bfloat16",
        CacheType.Int8 => "int8",
        _ => "float32",
    };
}

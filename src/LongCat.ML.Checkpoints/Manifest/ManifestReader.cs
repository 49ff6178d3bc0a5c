using System.Text.Json;

namespace LongCat.ML.Checkpoints;

/// <summary>The strict reader of longcat.json: an unknown, missing or mistyped key is an error that names it.</summary>
internal static class ManifestReader
{
    private static readonly string[] KnownKeys =
    [
        "format_version", "architecture", "ops", "precision", "vocab_size", "hidden_size", "max_positions", "bos_token_id", "eos_token_ids",
        "ngram_neighbors", "caches", "draft_caches", "cache_type", "streaming", "sparse_verification", "files", "content_hash",
    ];

    public static ModelManifest Read(JsonElement root, string path)
    {
        if (root.ValueKind != JsonValueKind.Object)
        {
            throw Wrong(path, "the document", root, "a JSON object");
        }

        // The version first: a later format may have other keys, and "unknown key" would send the reader the wrong way.
        int version = Integer(Required(root, "format_version", path), "format_version", path);
        if (version != ModelManifest.CurrentFormatVersion)
        {
            throw new CheckpointException(
                path, $"format_version is {version}; this version of LongCat.ML reads {ModelManifest.CurrentFormatVersion}. Export the model again, or use the version that wrote it.");
        }

        OnlyKnown(root, KnownKeys, "", path);
        ModelManifest manifest = new()
        {
            Architecture = Text(root, "architecture", path),
            Operators = (root.TryGetProperty("ops", out _) ? Text(root, "ops", path) : "longcat") switch
            {
                "longcat" => OperatorSet.LongCat,
                "standard" => OperatorSet.Standard,
                _ => throw Wrong(path, "ops", root.GetProperty("ops"), "longcat or standard"),
            },
            Precision = Text(root, "precision", path) switch
            {
                "f32" => WeightPrecision.F32,
                "bf16" => WeightPrecision.BF16,
                "int4" => WeightPrecision.Int4,
                "w4a8" => WeightPrecision.W4A8,
                _ => throw Wrong(path, "precision", root.GetProperty("precision"), "f32, bf16, int4 or w4a8"),
            },
            VocabSize = Integer(Required(root, "vocab_size", path), "vocab_size", path),
            HiddenSize = Integer(Required(root, "hidden_size", path), "hidden_size", path),
            MaxPositions = Integer(Required(root, "max_positions", path), "max_positions", path),
            BosTokenId = root.TryGetProperty("bos_token_id", out JsonElement bos) && bos.ValueKind != JsonValueKind.Null ? Integer(bos, "bos_token_id", path) : null,
            EosTokenIds = [.. Items(root, "eos_token_ids", path).Select(item => Integer(item, "eos_token_ids", path))],
            NgramNeighbors = Integer(Required(root, "ngram_neighbors", path), "ngram_neighbors", path),
            Caches = Caches(root, "caches", path),
            DraftCaches = root.TryGetProperty("draft_caches", out _) ? Caches(root, "draft_caches", path) : null,
            CacheType = Text(root, "cache_type", path) switch
            {
                "float32" => CacheType.Float32,
                "bfloat16" => CacheType.BFloat16,
                "int8" => CacheType.Int8,
                _ => throw Wrong(path, "cache_type", root.GetProperty("cache_type"), "float32, bfloat16 or int8"),
            },
            Streaming = root.TryGetProperty("streaming", out JsonElement streaming) ? Streaming(streaming, path) : null,
            SparseVerification = root.TryGetProperty("sparse_verification", out JsonElement sparse) ? SparseVerification(sparse, path) : null,
            Files = Files(root, path),
        };
        manifest.Check(path);
        string recorded = Text(root, "content_hash", path);
        if (recorded != manifest.ContentHash)
        {
            throw new CheckpointException(path, $"content_hash is {CheckpointException.Printable(recorded)}, the list of files gives {manifest.ContentHash}: the manifest was edited or damaged. Export the model again.");
        }

        return manifest;
    }

    private static IReadOnlyList<CacheLayout> Caches(JsonElement root, string key, string path)
    {
        List<CacheLayout> caches = [];
        foreach (JsonElement item in Items(root, key, path))
        {
            if (item.ValueKind != JsonValueKind.Object)
            {
                throw Wrong(path, $"{key}[{caches.Count}]", item, "an object with the key width");
            }

            OnlyKnown(item, ["width"], $"{key}[{caches.Count}].", path);
            caches.Add(new CacheLayout(Integer(Required(item, "width", path), $"{key}[{caches.Count}].width", path)));
        }

        return caches;
    }

    private static StreamingAttentionConfig Streaming(JsonElement item, string path)
    {
        if (item.ValueKind != JsonValueKind.Object)
        {
            throw Wrong(path, "streaming", item, "an object with the keys block_size, sink_blocks, local_blocks and caches");
        }

        OnlyKnown(item, ["block_size", "sink_blocks", "local_blocks", "caches"], "streaming.", path);
        try
        {
            return new StreamingAttentionConfig
            {
                BlockSize = Integer(Required(item, "block_size", path), "streaming.block_size", path),
                SinkBlocks = Integer(Required(item, "sink_blocks", path), "streaming.sink_blocks", path),
                LocalBlocks = Integer(Required(item, "local_blocks", path), "streaming.local_blocks", path),
                AttentionLayers = [.. Items(item, "caches", path).Select(cache => Integer(cache, "streaming.caches", path))],
            };
        }
        catch (ArgumentException exception)
        {
            // The record refuses what is out of range or out of order, in words of its own.
            throw new CheckpointException(path, $"streaming is {CheckpointException.Printable(item.GetRawText())}: {exception.Message} Export the model again.", exception);
        }
    }

    private static SparseVerificationLayout SparseVerification(JsonElement item, string path)
    {
        if (item.ValueKind != JsonValueKind.Object)
        {
            throw Wrong(path, "sparse_verification", item, "an object with the keys attentions, mean_widths, ffn_layers, moe_layers and topk");
        }

        OnlyKnown(item, ["attentions", "mean_widths", "ffn_layers", "moe_layers", "topk"], "sparse_verification.", path);
        SparseVerificationLayout layout = new()
        {
            MeanWidths = [.. Items(item, "mean_widths", path).Select(width => Integer(width, "sparse_verification.mean_widths", path))],
            FfnLayers = Integer(Required(item, "ffn_layers", path), "sparse_verification.ffn_layers", path),
            MoeLayers = Integer(Required(item, "moe_layers", path), "sparse_verification.moe_layers", path),
            TopK = Integer(Required(item, "topk", path), "sparse_verification.topk", path),
        };
        int attentions = Integer(Required(item, "attentions", path), "sparse_verification.attentions", path);
        return attentions == layout.Attentions
            ? layout
            : throw Wrong(path, "sparse_verification.attentions", item.GetProperty("attentions"), $"{layout.Attentions}, the number of mean_widths");
    }

    private static Dictionary<string, ManifestFile> Files(JsonElement root, string path)
    {
        JsonElement files = Required(root, "files", path);
        if (files.ValueKind != JsonValueKind.Object)
        {
            throw Wrong(path, "files", files, "an object");
        }

        Dictionary<string, ManifestFile> result = new(StringComparer.Ordinal);
        foreach (JsonProperty file in files.EnumerateObject())
        {
            string key = $"files.{file.Name}";
            if (file.Value.ValueKind != JsonValueKind.Object)
            {
                throw Wrong(path, key, file.Value, "an object with the keys bytes and sha256");
            }

            OnlyKnown(file.Value, ["bytes", "sha256"], key + ".", path);
            JsonElement bytes = Required(file.Value, "bytes", path);
            if (bytes.ValueKind != JsonValueKind.Number || !bytes.TryGetInt64(out long length))
            {
                throw Wrong(path, key + ".bytes", bytes, "a whole number");
            }

            result.Add(file.Name, new ManifestFile(length, Text(file.Value, "sha256", path)));
        }

        return result;
    }

    private static void OnlyKnown(JsonElement item, string[] known, string prefix, string path)
    {
        foreach (JsonProperty property in item.EnumerateObject())
        {
            if (!known.Contains(property.Name))
            {
                throw new CheckpointException(path, $"unknown key {CheckpointException.Printable(prefix + property.Name)}; format {ModelManifest.CurrentFormatVersion} knows {string.Join(", ", known)}.");
            }
        }
    }

    private static JsonElement Required(JsonElement item, string key, string path) =>
        item.TryGetProperty(key, out JsonElement value) ? value : throw new CheckpointException(path, $"the key {key} is missing. Export the model again.");

    private static JsonElement.ArrayEnumerator Items(JsonElement root, string key, string path)
    {
        JsonElement value = Required(root, key, path);
        return value.ValueKind == JsonValueKind.Array ? value.EnumerateArray() : throw Wrong(path, key, value, "an array");
    }

    private static string Text(JsonElement item, string key, string path)
    {
        JsonElement value = Required(item, key, path);
        return value.ValueKind == JsonValueKind.String ? value.GetString()! : throw Wrong(path, key, value, "a string");
    }

    private static int Integer(JsonElement value, string key, string path) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) ? number : throw Wrong(path, key, value, "a whole number of 32 bits");

    private static CheckpointException Wrong(string path, string key, JsonElement value, string expected) =>
        new(path, $"{CheckpointException.Printable(key)} is {CheckpointException.Printable(value.GetRawText())}; expected {expected}. Export the model again.");
}

using System.Text.Json;

namespace LongCat.ML.Checkpoints;

/// <summary>Reads <c>model.safetensors.index.json</c>: which shard holds which tensor. Shard names are checked before any is opened.</summary>
internal static class ShardIndex
{
    internal const string FileName = "model.safetensors.index.json";

    private const long LongestIndex = 100 << 20;
    private const int MostShards = 4096;

    /// <summary>Tensor name → shard's path relative to the folder.</summary>
    public static Dictionary<string, string> Read(string file)
    {
        ReadOnlyMemory<byte> json = BoundedFile.Read(file, LongestIndex);
        try
        {
            return Parse(file, json.Span);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            throw new CheckpointException(file, $"not valid JSON: {CheckpointException.Printable(e.Message)}", e);
        }
    }

    private static Dictionary<string, string> Parse(string file, ReadOnlySpan<byte> json)
    {
        Utf8JsonReader reader = new(json, new JsonReaderOptions { MaxDepth = 16 });
        Dictionary<string, string>? map = null;
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
        {
            throw new CheckpointException(file, "holds no JSON object");
        }

        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            reader.Read();
            if (key != "weight_map")
            {
                reader.Skip();
            }
            else if (map is not null)
            {
                throw new CheckpointException(file, "holds weight_map twice");
            }
            else
            {
                map = ReadMap(file, ref reader);
            }
        }

        reader.Read();
        return map ?? throw new CheckpointException(file, "weight_map is missing, expected an object from tensor name to file name");
    }

    private static Dictionary<string, string> ReadMap(string file, ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            throw new CheckpointException(file, "weight_map is no object, expected one from tensor name to file name");
        }

        Dictionary<string, string> map = new(StringComparer.Ordinal);
        Dictionary<string, string> shards = new(StringComparer.Ordinal);
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string tensor = reader.GetString()!;
            reader.Read();
            if (reader.TokenType != JsonTokenType.String)
            {
                throw new CheckpointException(file, tensor, "weight_map gives no text, expected a file name");
            }

            string shard = reader.GetString()!;
            if (!shards.TryGetValue(shard, out string? known))
            {
                CheckInside(file, tensor, shard);
                known = shard;
                shards.Add(shard, shard);
                if (shards.Count > MostShards)
                {
                    throw new CheckpointException(file, $"names more than {MostShards} files");
                }
            }

            if (!map.TryAdd(tensor, known))
            {
                throw new CheckpointException(file, tensor, "weight_map names it twice, expected each name once");
            }
        }

        return map;
    }

    /// <summary>
    /// Only plain components below the folder: nothing absolute, no "..", no drive or stream (":"), no backslash, no control characters.
    /// The check is on the text alone; a symbolic link inside the folder is the user's own (download caches consist of them).
    /// </summary>
    private static void CheckInside(string file, string tensor, string shard)
    {
        bool plain = shard.Length is > 0 and <= 1024 && !System.IO.Path.IsPathRooted(shard);
        foreach (char c in shard)
        {
            plain &= !char.IsControl(c) && c is not ('\\' or ':');
        }

        foreach (string component in shard.Split('/'))
        {
            plain &= component is not ("" or "." or "..");
        }

        if (!plain)
        {
            throw new CheckpointException(file, tensor, $"weight_map points to \"{CheckpointException.Printable(shard)}\", "
                + "expected a file inside the checkpoint's folder (no \"..\", no absolute path)");
        }
    }
}

using System.Text.Json;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Inference.Chat.Prompts;

/// <summary>A model's <c>generation_config.json</c>: how its makers sample, and which tokens end its turns.</summary>
internal static class GenerationDefaults
{
    private const string Name = "generation_config.json";

    /// <summary>Options with what the file says in the places that were left open.</summary>
    /// <exception cref="CheckpointException">The file is no JSON object, or one of the values is of the wrong type or outside its range.</exception>
    public static LongCatChatClientOptions Fill(LongCatChatClientOptions options, string folder)
    {
        string path = Path.Combine(folder, Name);
        if (!File.Exists(path))
        {
            return options;
        }

        JsonElement root;
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(path));
            root = document.RootElement.Clone();
        }
        catch (JsonException error)
        {
            throw new CheckpointException(path, $"expected JSON, got something else: {error.Message}", error);
        }

        if (root.ValueKind != JsonValueKind.Object)
        {
            throw new CheckpointException(path, $"expected an object, got {root.ValueKind}");
        }

        options = options with { StopTokenIds = [.. options.StopTokenIds.Union(Tokens(root, path))] };
        bool samples = root.TryGetProperty("do_sample", out JsonElement sample) && sample.ValueKind == JsonValueKind.True;
        if (options.ChosenGeneration is not null || !samples)
        {
            return options;
        }

        // do_sample without a temperature means 1 there.
        return options with
        {
            Generation = options.Generation with
            {
                Temperature = (float)Number(root, "temperature", path, 0, 100, 1),
                TopP = (float)Number(root, "top_p", path, 1e-6, 1, 1),
                TopK = (int)Number(root, "top_k", path, 0, int.MaxValue, 0),
            },
        };
    }

    private static List<int> Tokens(JsonElement root, string path)
    {
        if (!root.TryGetProperty("eos_token_id", out JsonElement value) || value.ValueKind == JsonValueKind.Null)
        {
            return [];
        }

        List<int> ids = [];
        foreach (JsonElement item in value.ValueKind == JsonValueKind.Array ? [.. value.EnumerateArray()] : new[] { value })
        {
            ids.Add(item.ValueKind == JsonValueKind.Number && item.TryGetInt32(out int id) && id >= 0
                ? id
                : throw new CheckpointException(path, $"eos_token_id: expected a token id or a list of them, got {item.GetRawText()}"));
        }

        return ids;
    }

    private static double Number(JsonElement root, string key, string path, double least, double most, double absent)
    {
        if (!root.TryGetProperty(key, out JsonElement value) || value.ValueKind == JsonValueKind.Null)
        {
            return absent;
        }

        return value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && number >= least && number <= most
            ? number
            : throw new CheckpointException(path, $"{key}: expected a number from {least} to {most}, got {value.GetRawText()}");
    }
}

using System.Globalization;
using System.Text.Json.Nodes;

namespace LongCat.ML.Checkpoints;

public sealed partial class ConfigEditor
{
    /// <summary>Writes which attentions stream, or that none does.</summary>
    /// <param name="streaming">The settings; null takes the key out.</param>
    /// <exception cref="CheckpointException">The rest of the text is no config of a supported model.</exception>
    /// <exception cref="ArgumentException">The model has no such attentions, or they cannot stream.</exception>
    public void SetStreaming(StreamingAttentionConfig? streaming)
    {
        if (streaming is null)
        {
            Remove(StreamingAttentionConfig.Key);
            return;
        }

        streaming.Validate(ToConfig());
        Set(StreamingAttentionConfig.Key, new JsonObject
        {
            ["block_size"] = streaming.BlockSize,
            ["sink_blocks"] = streaming.SinkBlocks,
            ["local_blocks"] = streaming.LocalBlocks,
            ["attention_layers"] = new JsonArray([.. streaming.AttentionLayers.Select(layer => (JsonNode)layer)]),
        });
    }

    /// <summary>Writes how long the context is and how the rotary frequencies are scaled for it; the base of the frequencies stays as it is.</summary>
    /// <param name="maxPositions">The longest context in tokens, at least 1 (<c>max_position_embeddings</c>).</param>
    /// <param name="scaling">The scaling; null for none.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="maxPositions"/> is below 1.</exception>
    /// <exception cref="ArgumentException">A number of <paramref name="scaling"/> is not finite.</exception>
    /// <exception cref="CheckpointException">The text is no config of a supported model.</exception>
    public void SetContext(int maxPositions, RopeScaling? scaling)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxPositions, 1);
        if (scaling is not null && !new[] { scaling.Factor, scaling.BetaFast, scaling.BetaSlow, scaling.MScale ?? 0, scaling.MScaleAllDim ?? 0, scaling.AttentionFactor ?? 0, scaling.LowFrequencyFactor, scaling.HighFrequencyFactor }.All(double.IsFinite))
        {
            throw new ArgumentException($"{scaling} has a number that is not finite, which JSON cannot say", nameof(scaling));
        }

        _ = ToConfig();
        JsonObject whole = JsonNode.Parse(text)!.AsObject();
        string key = whole["rope_scaling"] is JsonObject || whole["rope_parameters"] is not JsonObject ? "rope_scaling" : "rope_parameters";
        JsonObject? given = whole[key] as JsonObject;
        JsonObject parameters = [];
        if (given?["rope_theta"] is { } theta)
        {
            parameters["rope_theta"] = theta.DeepClone();
        }

        if (scaling is not null)
        {
            // A config that spells the rule otherwise ("type", "deepseek_yarn") keeps its spelling.
            string nameKey = given is not null && given.ContainsKey("type") && !given.ContainsKey("rope_type") ? "type" : "rope_type";
            string name = scaling.Type switch
            {
                RopeScalingType.Yarn => given?[nameKey] is JsonValue old && old.TryGetValue(out string? spelled) && spelled == "deepseek_yarn" ? spelled : "yarn",
                RopeScalingType.Llama3 => "llama3",
                _ => "linear",
            };
            parameters[nameKey] = name;
            Write(parameters, scaling);
        }
        else if (parameters.Count > 0)
        {
            parameters["rope_type"] = "default";
        }

        Set(key, parameters.Count > 0 ? parameters : null);
        Set("max_position_embeddings", maxPositions);
    }

    private static void Write(JsonObject parameters, RopeScaling scaling)
    {
        parameters["factor"] = Real(scaling.Factor);
        if (scaling.Type == RopeScalingType.Linear)
        {
            return;
        }

        parameters["original_max_position_embeddings"] = scaling.OriginalMaxPositions;
        if (scaling.Type == RopeScalingType.Llama3)
        {
            parameters["low_freq_factor"] = Real(scaling.LowFrequencyFactor);
            parameters["high_freq_factor"] = Real(scaling.HighFrequencyFactor);
            return;
        }

        parameters["beta_fast"] = Real(scaling.BetaFast);
        parameters["beta_slow"] = Real(scaling.BetaSlow);
        foreach ((string key, double? value) in (ReadOnlySpan<(string, double?)>)[("mscale", scaling.MScale), ("mscale_all_dim", scaling.MScaleAllDim), ("attention_factor", scaling.AttentionFactor)])
        {
            if (value is double given)
            {
                parameters[key] = Real(given);
            }
        }

        if (!scaling.Truncate)
        {
            parameters["truncate"] = false;
        }
    }

    /// <summary>A number that readers which tell whole numbers from others take for a real one: 40.0, not 40.</summary>
    private static JsonNode Real(double value)
    {
        string text = value.ToString("R", CultureInfo.InvariantCulture);
        return JsonNode.Parse(text.AsSpan().IndexOfAny(".E") >= 0 ? text : text + ".0")!;
    }
}

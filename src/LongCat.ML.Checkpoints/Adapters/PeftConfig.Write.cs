using System.Text.Json.Nodes;

namespace LongCat.ML.Checkpoints;

public sealed partial record PeftConfig
{
    /// <summary>Writes adapter_config.json as PEFT does: keys sorted, two spaces, ASCII. An earlier file is replaced.</summary>
    /// <param name="folder">The folder, which must exist.</param>
    /// <exception cref="AdapterException">A value is out of range, or the file cannot be written.</exception>
    /// <exception cref="ArgumentException"><paramref name="folder"/> is null or empty.</exception>
    public void Save(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        Check(folder);
        AdapterFile.Replace(Path.Combine(folder, FileName), ToBytes(null));
    }

    /// <summary>The file's bytes.</summary>
    /// <param name="modules">The modules that have matrices; named one by one where PEFT could not tell them from the targets.</param>
    internal byte[] ToBytes(IEnumerable<string>? modules)
    {
        PeftConfig written = Portable(modules);
        JsonObject now = written.Properties();
        if (Original is null)
        {
            return PythonJson.Write(now);
        }

        // What nobody changed stays as it was spelled, also a number for a list of one or 16.0 for 16; keys that the file did not have come in only when they were set.
        JsonObject then = (Read((JsonObject)Original.DeepClone(), FileName) with { Original = null }).Portable(modules).Properties();
        Dictionary<string, JsonNode?> result = Original.ToDictionary(p => p.Key, p => p.Value, StringComparer.Ordinal);
        foreach ((string key, JsonNode? value) in now)
        {
            bool same = JsonNode.DeepEquals(value, then[key]);
            if (!same || (key == "inference_mode" && result.ContainsKey(key)))
            {
                result[key] = value;
            }
        }

        return PythonJson.Write(result);
    }

    /// <summary>The same with targets that PEFT can read.</summary>
    private PeftConfig Portable(IEnumerable<string>? modules)
    {
        if (Targets is null)
        {
            return this;
        }

        if (Targets == AdapterTargets.AllLinear)
        {
            // PEFT takes no layers with a text for target_modules.
            return LayersToTransform is { Count: > 0 } && modules?.Order(StringComparer.Ordinal).ToArray() is { Length: > 0 } names
                ? this with { Targets = AdapterTargets.Names(names), LayersToTransform = null, LayersPattern = null }
                : this;
        }

        AdapterTargets targets = Targets.ForPeft(LayersToTransform, out bool layersWithin);
        return layersWithin ? this with { Targets = targets, LayersToTransform = null, LayersPattern = null } : this;
    }

    private JsonObject Properties() => new()
    {
        ["alpha_pattern"] = Pattern(AlphaPattern, Whole),
        ["auto_mapping"] = null,
        ["base_model_name_or_path"] = BaseModelNameOrPath,
        ["bias"] = Bias,
        ["exclude_modules"] = TargetsNode(ExcludeModules),
        ["fan_in_fan_out"] = false,

        // PEFT always writes true, and takes training as something to be asked for when it reads.
        ["inference_mode"] = true,
        ["init_lora_weights"] = InitLoraWeights switch { "true" => true, "false" => false, _ => InitLoraWeights },
        ["layers_pattern"] = Texts(LayersPattern),
        ["layers_to_transform"] = LayersToTransform is null ? null : new JsonArray([.. LayersToTransform.Select(l => (JsonNode)l)]),
        ["loftq_config"] = new JsonObject(),
        ["lora_alpha"] = Whole(Alpha),
        ["lora_bias"] = LoraBias,
        ["lora_dropout"] = Fraction(Dropout),
        ["megatron_config"] = null,
        ["megatron_core"] = "megatron.core",
        ["modules_to_save"] = Texts(ModulesToSave),
        ["peft_type"] = PeftType,
        ["peft_version"] = PeftVersion,
        ["r"] = Rank,
        ["rank_pattern"] = Pattern(RankPattern, r => r),
        ["revision"] = Revision,
        ["target_modules"] = TargetsNode(Targets),
        ["target_parameters"] = Texts(TargetParameters),
        ["task_type"] = TaskType,
        ["use_dora"] = UseDora,
        ["use_rslora"] = UseRsLora,
    };

    private static JsonNode? TargetsNode(AdapterTargets? targets) => targets switch
    {
        null => null,
        { List: { } list } => Texts(list),
        { PresetName: { } name } => name,
        _ => targets.Pattern,
    };

    private static JsonNode? Texts(IReadOnlyList<string>? texts) => texts is null ? null : new JsonArray([.. texts.Select(t => (JsonNode)t)]);

    private static JsonObject Pattern<T>(IReadOnlyDictionary<string, T>? pattern, Func<T, JsonNode> value)
    {
        JsonObject map = [];
        foreach ((string key, T item) in pattern ?? new Dictionary<string, T>())
        {
            map.Add(key, value(item));
        }

        return map;
    }

    /// <summary>Python's alphas are whole numbers as a rule, and written as such.</summary>
    private static JsonNode Whole(double value) => value == Math.Truncate(value) && Math.Abs(value) < 1L << 53 ? (JsonNode)(long)value : value;

    private static JsonNode Fraction(double value) => JsonNode.Parse(value == Math.Truncate(value) ? $"{value:0}.0" : value.ToString("R", System.Globalization.CultureInfo.InvariantCulture))!;
}

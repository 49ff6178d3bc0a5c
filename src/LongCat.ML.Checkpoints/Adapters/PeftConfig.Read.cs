using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace LongCat.ML.Checkpoints;

public sealed partial record PeftConfig
{
    private const long LongestFile = 16 << 20;
    private const int LargestRank = 1 << 16;

    /// <summary>Settings of PEFT that change what an adapter computes and that are not implemented; set, they are refused by name.</summary>
    private static readonly (string Key, string What)[] Unsupported =
    [
        ("alora_invocation_tokens", "activated LoRA, which acts from certain tokens on"),
        ("arrow_config", "Arrow, which routes between adapters"),
        ("kasa_config", "KaSA"),
        ("layer_replication", "a model with repeated layers"),
        ("megatron_config", "adapters of Megatron's parallel layers"),
        ("monteclora_config", "MonteCLoRA"),
        ("trainable_token_indices", "single trained rows of the embedding"),
        ("use_bdlora", "block-diagonal LoRA"),
        ("use_qalora", "QA-LoRA"),
        ("velora_config", "VeLoRA"),
    ];

    /// <summary>Reads an adapter's configuration.</summary>
    /// <param name="folder">The adapter's folder, or its folder in a Hugging Face cache.</param>
    /// <returns>The configuration.</returns>
    /// <exception cref="AdapterException">The file is missing or malformed, a value is missing, of the wrong type or out of range, or the adapter is of a kind that is not supported.</exception>
    /// <exception cref="ArgumentException"><paramref name="folder"/> is null or empty.</exception>
    public static PeftConfig Load(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        return Load(ResolveFolder(folder), out _);
    }

    /// <summary>Reads the text of an adapter_config.json that lies in no file.</summary>
    /// <param name="json">The JSON text.</param>
    /// <param name="name">What error messages call it.</param>
    /// <returns>The configuration.</returns>
    /// <exception cref="AdapterException">As <see cref="Load(string)"/> throws it.</exception>
    public static PeftConfig Parse(string json, string name = FileName)
    {
        ArgumentNullException.ThrowIfNull(json);
        return Parse(Encoding.UTF8.GetBytes(json), name);
    }

    /// <summary>Reads configuration and annealing state; of an adapter that is still annealing both lie in one file.</summary>
    internal static PeftConfig Load(string folder, out AfaState? afa)
    {
        string path = Path.Combine(folder, FileName);
        afa = AfaState.Read(folder, out string? inner);
        if (File.Exists(path))
        {
            try
            {
                return Parse(BoundedFile.Read(path, LongestFile), path);
            }
            catch (CheckpointException e)
            {
                throw AdapterException.From(e);
            }
        }

        if (inner is not null)
        {
            return Parse(inner, Path.Combine(folder, AfaState.FileName));
        }

        throw Missing(folder, path);
    }

    /// <summary>The folder with an adapter's files: a snapshot where a download cache is given.</summary>
    internal static string ResolveFolder(string folder)
    {
        try
        {
            return File.Exists(Path.Combine(folder, FileName)) ? folder : HuggingFaceCache.Resolve(folder);
        }
        catch (CheckpointException e)
        {
            throw AdapterException.From(e);
        }
    }

    internal void Check(string source)
    {
        string? problem =
            Rank is < 1 or > LargestRank ? $"r is {Rank}, expected 1 to {LargestRank}"
            : RankPattern?.Values.FirstOrDefault(r => r is < 1 or > LargestRank, 1) is int rank && rank is < 1 or > LargestRank ? $"rank_pattern gives {rank}, expected 1 to {LargestRank}"
            : !double.IsFinite(Alpha) || AlphaPattern?.Values.Any(a => !double.IsFinite(a)) == true ? "lora_alpha or a value of alpha_pattern is not finite"
            : !(Dropout >= 0 && Dropout < 1) ? string.Create(CultureInfo.InvariantCulture, $"lora_dropout is {Dropout:R}, expected 0 to below 1")
            : Bias is not ("none" or "all" or "lora_only") ? $"bias is {CheckpointException.Printable(Bias)}, expected none, all or lora_only"
            : Targets is null && TargetParameters is not { Count: > 0 } && ModulesToSave is not { Count: > 0 }
                ? "target_modules is missing, and there are neither target_parameters nor modules_to_save: the adapter changes nothing"
            : Targets?.Pattern is not null && LayersToTransform is { Count: > 0 }
                ? "layers_to_transform goes with names, not with a regular expression in target_modules; write the layers into the expression"
            : LayersPattern is { Count: > 0 } && LayersToTransform is not { Count: > 0 } ? "layers_pattern is given without layers_to_transform"
            : LoraBias && UseDora ? "lora_bias and use_dora are both set; PEFT knows no such adapter"
            : null;
        if (problem is not null)
        {
            throw new AdapterException(source, problem);
        }
    }

    private static AdapterException Missing(string folder, string path)
    {
        if (!Directory.Exists(folder))
        {
            return new AdapterException(folder, File.Exists(folder)
                ? "is a file; name the folder that holds adapter_config.json"
                : "the folder does not exist, expected one with adapter_config.json and adapter_model.safetensors");
        }

        if (HuggingFaceCache.DanglingLink(path) is { } dangling)
        {
            return new AdapterException(path, dangling);
        }

        string[] named = [.. Directory.EnumerateDirectories(folder).Where(d => File.Exists(Path.Combine(d, FileName))).Select(d => Path.GetFileName(d)!).Order(StringComparer.Ordinal)];
        return new AdapterException(folder, named.Length > 0
            ? $"the folder holds no {FileName} of its own, but named adapters in {string.Join(", ", named.Take(8))}; name one of those folders"
            : File.Exists(Path.Combine(folder, "config.json"))
                ? $"the folder holds a model, not an adapter: config.json is there, {FileName} is not"
                : $"the folder holds no {FileName}; expected an adapter that PEFT or LongCat.ML saved");
    }

    private static PeftConfig Parse(ReadOnlyMemory<byte> json, string name)
    {
        try
        {
            JsonNode? root = JsonNode.Parse(json.Span, documentOptions: new JsonDocumentOptions { MaxDepth = 32, AllowDuplicateProperties = false });
            PeftConfig config = Read(root as JsonObject ?? throw new AdapterException(name, "holds no JSON object"), name);
            config.Check(name);

            // Keys that nobody reads are written again one day: what no text can hold (half of a surrogate pair) is found here.
            _ = config.ToBytes(null);
            return config;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new AdapterException(name, $"not valid JSON: {CheckpointException.Printable(e.Message)}", e);
        }
        catch (ArgumentException e)
        {
            throw new AdapterException(name, CheckpointException.Printable(e.Message), e);
        }
    }

    private static PeftConfig Read(JsonObject root, string name)
    {
        PeftReader reader = new(name, root);
        string type = reader.Text("peft_type") ?? throw reader.Missing("peft_type", "LORA");
        if (type != "LORA")
        {
            throw new AdapterException(name, $"peft_type is {CheckpointException.Printable(type)}, expected LORA: only LoRA adapters (rsLoRA, DoRA and PiSSA among them) are supported");
        }

        foreach ((string key, string what) in Unsupported)
        {
            if (reader.IsSet(key))
            {
                throw new AdapterException(name, $"{key} is set ({what}), which is not supported; merge the adapter with PEFT and use the merged model");
            }
        }

        if (reader.Flag("fan_in_fan_out"))
        {
            // As PEFT does for plain linear layers, the only ones that these models have.
            root["fan_in_fan_out"] = false;
        }

        root.Remove("runtime_config");
        return new PeftConfig
        {
            TaskType = reader.Text("task_type"),
            BaseModelNameOrPath = reader.Text("base_model_name_or_path"),
            Revision = reader.Text("revision"),
            Rank = reader.Int("r") ?? 8,
            Alpha = reader.Number("lora_alpha") ?? 8,
            Dropout = reader.Number("lora_dropout") ?? 0,
            UseRsLora = reader.Flag("use_rslora"),
            UseDora = reader.Flag("use_dora"),
            InitLoraWeights = reader.FlagOrText("init_lora_weights") ?? "true",
            Targets = reader.Targets("target_modules"),
            ExcludeModules = reader.Targets("exclude_modules"),
            ModulesToSave = reader.Texts("modules_to_save"),
            RankPattern = reader.Pattern("rank_pattern", reader.IntValue),
            AlphaPattern = reader.Pattern("alpha_pattern", reader.NumberValue),
            LayersToTransform = reader.Ints("layers_to_transform"),
            LayersPattern = reader.Texts("layers_pattern"),
            TargetParameters = reader.Texts("target_parameters"),
            Bias = reader.Text("bias") ?? "none",
            LoraBias = reader.Flag("lora_bias"),
            PeftVersion = reader.Text("peft_version"),
            Original = root,
        };
    }
}

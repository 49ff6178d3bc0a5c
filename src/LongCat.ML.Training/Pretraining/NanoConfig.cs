using LongCat.ML.Checkpoints;

namespace LongCat.ML.Training.Pretraining;

/// <summary>The config.json of longcat-nano, a real, tiny LongCat-Flash-Lite.</summary>
public static class NanoConfig
{
    /// <summary>The text of config.json.</summary>
    public static string Json
    {
        get
        {
            using var stream = typeof(NanoConfig).Assembly.GetManifestResourceStream("longcat-nano.json")
                ?? throw new InvalidOperationException("the resource longcat-nano.json is not in the assembly");
            using var reader = new StreamReader(stream);
            return reader.ReadToEnd();
        }
    }

    /// <summary>Reads the config of a LongCat model: <c>nano</c>, or a config.json file or its folder.</summary>
    /// <param name="source"><c>nano</c> or a path.</param>
    /// <returns>The config and the text it was read from.</returns>
    /// <exception cref="CheckpointException">The file is missing or malformed, or of another family.</exception>
    public static (LongcatFlashConfig Config, string Json) Read(string source)
    {
        if (source == "nano")
        {
            string folder = Directory.CreateTempSubdirectory("longcat-nano").FullName;
            try
            {
                File.WriteAllText(Path.Combine(folder, "config.json"), Json);
                return ((LongcatFlashConfig)ModelConfig.Load(folder), Json);
            }
            finally
            {
                Directory.Delete(folder, recursive: true);
            }
        }

        string file = Directory.Exists(source) ? Path.Combine(HuggingFaceCache.Resolve(source), "config.json") : source;
        return ModelConfig.Load(source) is LongcatFlashConfig config
            ? (config, File.ReadAllText(file))
            : throw new CheckpointException(file, "the architecture cannot be trained from scratch here, expected LongcatFlashForCausalLM or LongcatFlashNgramForCausalLM");
    }
}

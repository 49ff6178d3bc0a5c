using System.Text.Json.Nodes;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.TestShared;

/// <summary>Adapters with random values in the format of PEFT, written from its description alone: the same options give the same bytes on every machine.</summary>
/// <param name="Folder">Where it lies.</param>
/// <param name="Modules">What it does to each module: A [r, in], B [out, r], the scale, and magnitudes [out] with DoRA.</param>
internal sealed record RandomAdapter(string Folder, IReadOnlyDictionary<string, (int Rank, double Scale, float[] A, float[] B, float[]? Magnitude)> Modules)
{
    /// <summary>Writes adapter_config.json and adapter_model.safetensors.</summary>
    /// <param name="folder">Created.</param>
    /// <param name="checkpoint">The model's folder.</param>
    /// <param name="targets">The modules: a path of the checkpoint without <c>.weight</c> is chosen where it ends in one of these.</param>
    /// <param name="seed">Of the values.</param>
    /// <param name="rank">r; modules that end in <c>o_proj</c> get half of it through <c>rank_pattern</c>, where it is even.</param>
    /// <param name="dora">With magnitudes, the norms of the rows of W + sBA times 0.8 to 1.2.</param>
    /// <param name="spread">The deviation of the values of B.</param>
    public static RandomAdapter Write(string folder, string checkpoint, IReadOnlyList<string> targets, int seed = 1, int rank = 4, bool dora = false, double spread = 0.2)
    {
        using Checkpoint model = Checkpoint.Open(checkpoint);
        Random random = new(seed);
        const double Alpha = 6;
        Dictionary<string, (int, double, float[], float[], float[]?)> modules = new(StringComparer.Ordinal);
        List<(TensorDeclaration Declaration, float[] Values)> tensors = [];
        foreach (TensorEntry entry in model.Tensors.Values.Where(entry => entry.Shape.Count == 2 && entry.Name.EndsWith(".weight", StringComparison.Ordinal)).OrderBy(entry => entry.Name, StringComparer.Ordinal))
        {
            string module = entry.Name[..^".weight".Length];
            if (!targets.Any(target => module == target || module.EndsWith("." + target, StringComparison.Ordinal)))
            {
                continue;
            }

            int rows = (int)entry.Shape[0], columns = (int)entry.Shape[1], r = RankOf(module, rank);
            float[] a = Draw(random, r * columns, 1 / Math.Sqrt(columns)), b = Draw(random, rows * r, spread);
            float[]? magnitude = null;
            if (dora)
            {
                float[] sum = Merged(model.ReadFloat32(entry.Name), columns, r, Alpha / r, a, b, magnitude: null);
                magnitude = [.. Enumerable.Range(0, rows).Select(row => (float)((0.8 + (0.4 * random.NextDouble())) * Norm(sum.AsSpan(row * columns, columns))))];
            }

            modules.Add(module, (r, Alpha / r, a, b, magnitude));
            string key = $"base_model.model.{module}";
            tensors.Add((new TensorDeclaration($"{key}.lora_A.weight", TensorType.Float32, [r, columns]), a));
            tensors.Add((new TensorDeclaration($"{key}.lora_B.weight", TensorType.Float32, [rows, r]), b));
            if (magnitude is not null)
            {
                tensors.Add((new TensorDeclaration($"{key}.lora_magnitude_vector", TensorType.Float32, [rows]), magnitude));
            }
        }

        Directory.CreateDirectory(folder);
        JsonObject config = new()
        {
            ["peft_type"] = "LORA",
            ["task_type"] = "CAUSAL_LM",
            ["r"] = rank,
            ["lora_alpha"] = Alpha,
            ["rank_pattern"] = new JsonObject { ["o_proj"] = RankOf("o_proj", rank) },
            ["target_modules"] = new JsonArray([.. modules.Keys.Select(module => (JsonNode)module)]),
            ["use_dora"] = dora,
        };
        File.WriteAllText(Path.Combine(folder, "adapter_config.json"), config.ToJsonString());
        using SafetensorsWriter writer = SafetensorsWriter.Create(
            Path.Combine(folder, "adapter_model.safetensors"), [.. tensors.Select(tensor => tensor.Declaration)], new Dictionary<string, string> { ["format"] = "pt" });
        foreach ((TensorDeclaration declaration, float[] values) in tensors)
        {
            writer.Write(declaration.Name, values);
        }

        writer.Complete();
        return new RandomAdapter(folder, modules);
    }

    /// <summary>Writes the checkpoint with this adapter merged into its matrices, float32.</summary>
    /// <returns>The new folder.</returns>
    public string WriteMerged(string checkpoint, string folder)
    {
        Directory.CreateDirectory(folder);
        foreach (string file in Directory.EnumerateFiles(checkpoint).Where(file => !file.EndsWith(".safetensors", StringComparison.Ordinal)))
        {
            File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));
        }

        using Checkpoint model = Checkpoint.Open(checkpoint);
        using SafetensorsWriter writer = SafetensorsWriter.Create(
            Path.Combine(folder, "model.safetensors"), [.. model.Tensors.Values.Select(entry => new TensorDeclaration(entry.Name, TensorType.Float32, entry.Shape))]);
        foreach (TensorEntry entry in model.Tensors.Values)
        {
            float[] values = model.ReadFloat32(entry.Name);
            string module = entry.Name.EndsWith(".weight", StringComparison.Ordinal) ? entry.Name[..^".weight".Length] : "";
            writer.Write(
                entry.Name, Modules.TryGetValue(module, out var matrix) ? Merged(values, (int)entry.Shape[1], matrix.Rank, matrix.Scale, matrix.A, matrix.B, matrix.Magnitude) : values);
        }

        writer.Complete();
        return folder;
    }

    private static int RankOf(string module, int rank) => module.EndsWith("o_proj", StringComparison.Ordinal) && rank % 2 == 0 ? rank / 2 : rank;

    private static float[] Merged(float[] weights, int columns, int rank, double scale, float[] a, float[] b, float[]? magnitude)
    {
        float[] merged = new float[weights.Length];
        double[] sum = new double[columns];
        for (int row = 0; row < weights.Length / columns; row++)
        {
            for (int k = 0; k < columns; k++)
            {
                sum[k] = weights[(row * columns) + k];
                for (int r = 0; r < rank; r++)
                {
                    sum[k] += scale * b[(row * rank) + r] * a[(r * columns) + k];
                }
            }

            double gain = magnitude is null ? 1 : magnitude[row] / Math.Sqrt(sum.Sum(value => value * value));
            for (int k = 0; k < columns; k++)
            {
                merged[(row * columns) + k] = (float)(gain * sum[k]);
            }
        }

        return merged;
    }

    private static double Norm(ReadOnlySpan<float> values)
    {
        double squares = 0;
        foreach (float value in values)
        {
            squares += (double)value * value;
        }

        return Math.Sqrt(squares);
    }

    private static float[] Draw(Random random, int count, double deviation) =>
        [.. Enumerable.Range(0, count).Select(_ => (float)(deviation * (random.NextDouble() + random.NextDouble() + random.NextDouble() - 1.5) * 2))];
}

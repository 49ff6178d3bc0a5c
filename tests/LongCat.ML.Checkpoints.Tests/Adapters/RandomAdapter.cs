namespace LongCat.ML.Checkpoints.Tests.Adapters;

/// <summary>Adapters with random values for the tests' small models.</summary>
internal static class RandomAdapter
{
    public static readonly LongcatFlashConfig Flash = (LongcatFlashConfig)ModelConfig.Parse(CheckpointFolder.FlashConfig);

    /// <summary>Matrices of these modules, of the rank and scale that the configuration gives.</summary>
    public static PeftAdapter Of(ModelConfig model, PeftConfig config, IEnumerable<string> modules, int seed = 1, TensorType type = TensorType.Float32) =>
        PeftAdapter.Create(config, modules.Select((path, i) => Matrix(ModelModule.Of(model).Single(m => m.Path == path), config, (seed * 1000) + i, type)));

    public static AdapterMatrix Matrix(ModelModule module, PeftConfig config, int seed, TensorType type = TensorType.Float32)
    {
        Random random = new(seed);
        int rank = config.RankOf(module.Path), columns = (int)module.In, rows = (int)module.Out;
        return new AdapterMatrix
        {
            Module = module.Path,
            Kind = module.Kind == ModuleKind.Embedding ? AdapterKind.Embedding : AdapterKind.Linear,
            Rank = rank,
            Scale = config.ScaleOf(module.Path),
            In = columns,
            Out = rows,
            A = Values(random, rank * columns, type),
            B = Values(random, rows * rank, type),
            Magnitude = config.UseDora ? [.. Values(random, rows, type).Select(Math.Abs)] : null,
            Bias = config.LoraBias ? Values(random, rows, type) : null,
            Type = type,
        };
    }

    /// <summary>Values that the type stores exactly.</summary>
    public static float[] Values(Random random, int count, TensorType type = TensorType.Float32)
    {
        float[] values = new float[count];
        for (int i = 0; i < count; i++)
        {
            float value = (random.NextSingle() - 0.5f) * 2;
            values[i] = type switch
            {
                TensorType.BFloat16 => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(value) & 0xFFFF0000),
                TensorType.Float16 => (float)(Half)value,
                _ => value,
            };
        }

        return values;
    }

    /// <summary>What a merged weight must be, element by element in double precision, straight from the definitions of LoRA and DoRA.</summary>
    public static double[] Expected(float[] weight, AdapterMatrix m)
    {
        bool embedding = m.Kind == AdapterKind.Embedding;
        double[] result = new double[weight.Length];
        double[] squares = new double[m.Out];
        for (int o = 0; o < m.Out; o++)
        {
            for (int i = 0; i < m.In; i++)
            {
                double sum = 0;
                for (int k = 0; k < m.Rank; k++)
                {
                    sum += (double)m.B[(o * m.Rank) + k] * m.A[(k * m.In) + i];
                }

                // A table has its rows where a projection has its inputs.
                int at = embedding ? (i * m.Out) + o : (o * m.In) + i;
                result[at] = weight[at] + (m.Scale * sum);
                squares[o] += result[at] * result[at];
            }
        }

        for (int at = 0; m.Magnitude is not null && at < result.Length; at++)
        {
            int o = embedding ? at % m.Out : at / m.In;
            result[at] *= m.Magnitude[o] / Math.Sqrt(squares[o]);
        }

        return result;
    }

    /// <summary>A folder with a model of <see cref="Flash"/> and random weights of a type.</summary>
    public static void WriteBase(CheckpointFolder folder, TensorType type = TensorType.Float32, ModelConfig? config = null)
    {
        config ??= Flash;
        folder.Write("config.json", CheckpointFolder.FlashConfig);
        Random random = new(7);
        TensorDeclaration[] tensors = [.. config.ExpectedTensors(false).Select(t => new TensorDeclaration(t.Name, type, t.Shape))];
        using SafetensorsWriter writer = SafetensorsWriter.Create(folder.File("model.safetensors"), tensors, new Dictionary<string, string> { ["format"] = "pt" });
        foreach (TensorDeclaration tensor in tensors)
        {
            float[] values = Values(random, (int)writer.Tensors[tensor.Name].ElementCount, type);
            writer.Write(tensor.Name, AdapterDiskTensor.Narrow(values, type));
        }

        writer.Complete();
    }
}

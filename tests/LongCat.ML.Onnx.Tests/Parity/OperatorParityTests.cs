using System.Globalization;
using System.Text.Json;
using LongCat.ML.Native;
using LongCat.ML.TestShared;
using Microsoft.ML.OnnxRuntime;
using Xunit.Abstractions;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx.Tests;

/// <summary>One-node graphs against the operator fixtures: n-gram ids at full vocabulary size, routing weights at the published expert counts.</summary>
[Collection(KernelPath.Collection)]
public sealed class OperatorParityTests(ITestOutputHelper output)
{
    // A routing weight is a float32 softmax (other machines differ by about 1e-6 in it) times an expert output of 1 that itself went through
    // SiLU, about 1e-7 off.
    private const double RouterTolerance = 5e-6;

    public static TheoryData<string, string> NGramCases => Cases("toy", "lite", "two");

    public static TheoryData<string, string> RouterCases => Cases("small", "flash_counts", "all_zero_chosen", "no_zero");

    /// <summary>
    /// The operator gives embeddings, not ids. So all tables are one table whose row r spells r in three digits of base 256, exact in bfloat16,
    /// and projection i moves its digits to columns 3i..3i+2 of the output: nothing overlaps, and the mean is undone by a multiplication.
    /// </summary>
    [GoldenTheory]
    [MemberData(nameof(NGramCases))]
    public void NGram_ids_are_exact(string name, string kernel)
    {
        using Golden golden = new(output, "ngram-ids", "golden.safetensors");
        JsonElement parameters = Parameters("ngram-ids", name);
        long[] rows = golden.Longs($"{name}.table_rows");
        long[][] sequences = golden.Rows($"{name}.tokens");
        int neighbors = parameters.GetProperty("emb_neighbor_num").GetInt32();
        int vocabulary = parameters.GetProperty("vocab_size").GetInt32();
        int hidden = 3 * rows.Length;
        using SessionOptions options = Options(kernel);
        using KernelPath path = new(kernel);
        using OneNodeModel model = new(
            graph =>
            {
                Value ids = graph.Input("input_ids", ElementType.Int64, "T");
                Value start = graph.Input("query_start", ElementType.Int32, "S_plus_1");
                Value context = graph.Input("ngram_context", ElementType.Int64, "S", neighbors - 1);
                Value word = graph.Weight("word", new BFloat16Tensor("word", new ushort[(long)vocabulary * hidden], vocabulary, hidden));
                Value table = graph.Weight("table", new DigitTable(rows.Max()));
                Value[] projections = [.. Enumerable.Range(0, rows.Length).Select(i => graph.Weight($"p{i}", Placing(i, hidden)))];
                NGramEmbeddingInputs inputs = new(ids, start, context, word, [.. Enumerable.Repeat(table, rows.Length)], projections);
                NGramEmbeddingAttributes attributes = new(vocabulary, neighbors, parameters.GetProperty("emb_split_num").GetInt64(), parameters.GetProperty("eos_token_id").GetInt64(), rows);
                graph.Output(graph.NGramEmbedding(inputs, attributes, "embedding"), ElementType.Float, "T", hidden);
            },
            options);

        int length = sequences[0].Length;
        using OrtValue ids = OrtValue.CreateTensorValueFromMemory(sequences.SelectMany(x => x).ToArray(), [sequences.Length * length]);
        using OrtValue start = OrtValue.CreateTensorValueFromMemory(Enumerable.Range(0, sequences.Length + 1).Select(s => s * length).ToArray(), [sequences.Length + 1]);
        using OrtValue context = OrtValue.CreateTensorValueFromMemory(Enumerable.Repeat(-1L, sequences.Length * (neighbors - 1)).ToArray(), [sequences.Length, neighbors - 1]);
        using IDisposableReadOnlyCollection<OrtValue> outputs = model.Run(("input_ids", ids), ("query_start", start), ("ngram_context", context));

        long[] actual = [.. outputs[0].GetTensorDataAsSpan<float>().ToArray()
            .Select(value => (long)Math.Round((double)value * (1 + rows.Length)))
            .Chunk(3).Select(digits => (digits[0] << 16) + (digits[1] << 8) + digits[2])];
        Assert.Equal(golden.Longs($"{name}.ids"), actual);
        output.WriteLine($"{name} {kernel}: {actual.Length} ids equal, the largest {actual.Max().ToString(CultureInfo.InvariantCulture)}");
    }

    /// <summary>
    /// The input is widened by a coordinate that is always 1 and one zero coordinate for each expert. Every expert computes 1 from the constant
    /// and adds it, times its routing weight, to its own coordinate; zero experts show in the constant's.
    /// </summary>
    [GoldenTheory]
    [MemberData(nameof(RouterCases))]
    public void Routing_weights_and_choices_are_the_golden_ones(string name, string kernel)
    {
        using Golden golden = new(output, "router", "golden.safetensors");
        JsonElement parameters = Parameters("router", name);
        int h = parameters.GetProperty("hidden_size").GetInt32();
        int experts = parameters.GetProperty("n_routed_experts").GetInt32();
        int zero = parameters.GetProperty("zero_expert_num").GetInt32();
        int top = parameters.GetProperty("moe_topk").GetInt32();
        int tokens = parameters.GetProperty("tokens").GetInt32();
        int width = h + 1 + experts;
        float[] x = new float[tokens * width];
        float[] hidden = golden.Floats($"{name}.hidden");
        for (int t = 0; t < tokens; t++)
        {
            hidden.AsSpan(t * h, h).CopyTo(x.AsSpan(t * width));
            x[(t * width) + h] = 1;
        }

        float[] router = new float[(experts + zero) * width];
        float[] classifier = golden.Floats($"{name}.classifier.weight");
        for (int e = 0; e < experts + zero; e++)
        {
            classifier.AsSpan(e * h, h).CopyTo(router.AsSpan(e * width));
        }

        float[] gate = new float[experts * width];
        float[] up = new float[experts * width];
        float[] down = new float[experts * width];
        for (int e = 0; e < experts; e++)
        {
            gate[(e * width) + h] = 1;
            up[(e * width) + h] = (float)(1 + Math.Exp(-1)); // silu(1) = 1 / (1 + exp(-1))
            down[(e * width) + h + 1 + e] = 1;
        }

        using SessionOptions options = Options(kernel);
        using KernelPath path = new(kernel);
        using OneNodeModel model = new(
            graph =>
            {
                ExpertMixtureInputs inputs = new(
                    graph.Input("x", ElementType.Float, "T", width),
                    graph.Weight("router", new ComputedTensor("router", router, experts + zero, width)),
                    graph.Weight("bias", new ComputedTensor("bias", golden.Floats($"{name}.e_score_correction_bias"), experts + zero)),
                    graph.Weight("gate", new ComputedTensor("gate", gate, experts, 1, width)),
                    graph.Weight("up", new ComputedTensor("up", up, experts, 1, width)),
                    graph.Weight("down", new ComputedTensor("down", down, experts, width, 1)));
                ExpertMixtureAttributes attributes = new(top, experts, zero, parameters.GetProperty("routed_scaling_factor").GetDouble());
                graph.Output(graph.ExpertMixture(inputs, attributes, null, "y"), ElementType.Float, "T", width);
            },
            options);

        using OrtValue value = OrtValue.CreateTensorValueFromMemory(x, [tokens, width]);
        using IDisposableReadOnlyCollection<OrtValue> outputs = model.Run(("x", value));

        float[] y = outputs[0].GetTensorDataAsSpan<float>().ToArray();
        long[] indices = golden.Longs($"{name}.indices");
        float[] weights = golden.Floats($"{name}.weights");
        float[] expected = new float[tokens * (experts + 1)];
        for (int i = 0; i < indices.Length; i++)
        {
            if (indices[i] < experts)
            {
                expected[(i / top * (experts + 1)) + 1 + indices[i]] = weights[i];
            }
        }

        golden.Floats($"{name}.zero_weight_sum").Select((sum, t) => expected[t * (experts + 1)] = sum).Count();
        float[] actual = [.. y.Chunk(width).SelectMany(row => row[h..])];
        Assert.Equal(expected.Select(weight => weight != 0), actual.Select(weight => weight != 0));
        golden.Compare($"router {name} {kernel}", expected, actual, RouterTolerance);
    }

    private static TheoryData<string, string> Cases(params string[] names)
    {
        TheoryData<string, string> cases = [];
        foreach (string name in names)
        {
            foreach (string kernel in KernelPath.Supported)
            {
                cases.Add(name, kernel);
            }
        }

        return cases;
    }

    private static SessionOptions Options(string kernel)
    {
        using KernelPath path = new(kernel);
        SessionOptions options = new();
        options.RegisterCustomOpLibraryV2(NativeLibraryLocator.Find(), out _);
        return options;
    }

    private static JsonElement Parameters(string fixture, string name)
    {
        using JsonDocument cases = JsonDocument.Parse(File.ReadAllText(GoldenFixtures.Path(fixture, "cases.json")));
        return cases.RootElement.GetProperty(name).Clone();
    }

    private static BFloat16Tensor Placing(int table, int hidden)
    {
        ushort[] bits = new ushort[hidden * 3];
        for (int digit = 0; digit < 3; digit++)
        {
            bits[(((3 * table) + digit) * 3) + digit] = 0x3F80;
        }

        return new BFloat16Tensor($"placing.{table}", bits, hidden, 3);
    }

    /// <summary>Row r holds the three digits of r in base 256.</summary>
    private sealed class DigitTable(long rows) : TensorSource("digits", ElementType.Bfloat16, [rows, 3])
    {
        public override void CopyTo(Stream destination)
        {
            byte[] buffer = new byte[6 << 16];
            for (long first = 0; first < Shape[0]; first += 1 << 16)
            {
                int count = (int)Math.Min(1 << 16, Shape[0] - first);
                for (int i = 0; i < count; i++)
                {
                    for (int digit = 0; digit < 3; digit++)
                    {
                        uint bits = BitConverter.SingleToUInt32Bits(((first + i) >> (16 - (8 * digit))) & 255);
                        BitConverter.TryWriteBytes(buffer.AsSpan((6 * i) + (2 * digit)), (ushort)(bits >> 16));
                    }
                }

                destination.Write(buffer.AsSpan(0, 6 * count));
            }
        }
    }
}

using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Adapters;
using LongCat.ML.Quantization;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Onnx.Tests;

/// <summary>Graphs with adapters against PEFT's own results, against models with the adapter merged, and against themselves in other batches.</summary>
[Collection(KernelPath.Collection)]
public sealed class AdapterParityTests(ExportedFixtures fixtures, ITestOutputHelper output) : IClassFixture<ExportedFixtures>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string, string> GoldenCases
    {
        get
        {
            TheoryData<string, string> cases = [];
            foreach (string kernel in KernelPath.Supported)
            {
                cases.Add("longcat-flash-lora", kernel);
                cases.Add("longcat-flash-dora", kernel);
            }

            return cases;
        }
    }

    /// <summary>Every family, in every precision that the longcat operators have.</summary>
    public static TheoryData<string, WeightPrecision> Models
    {
        get
        {
            TheoryData<string, WeightPrecision> cases = [];
            foreach (string model in (IEnumerable<string>)[.. RandomDecoder.Models.Keys, Lite])
            {
                cases.Add(model, WeightPrecision.F32);
                cases.Add(model, WeightPrecision.BF16);
                cases.Add(model, WeightPrecision.W4A8);
            }

            return cases;
        }
    }

    public static TheoryData<string> Names => [.. RandomDecoder.Models.Keys, Lite];

    private const string Lite = "LongCat-Flash-Lite";

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Models))]
    public void Sequences_with_several_adapters_share_steps_and_each_gives_what_it_gives_alone(string model, WeightPrecision precision)
    {
        string folder = Export(model, precision);
        using Checkpoint checkpoint = Checkpoint.Open(_folder["in"]);
        using PeftAdapter all = Adapter(checkpoint, folder, 1, _ => true, rank: 4), some = Adapter(checkpoint, folder, 2, name => name.Contains("self_attn", StringComparison.Ordinal), 16);
        using PeftAdapter dora = Adapter(checkpoint, folder, 3, name => name.Contains('q', StringComparison.Ordinal) || name.EndsWith("down_proj", StringComparison.Ordinal), 3, dora: true);
        PeftAdapter[] adapters = [all, some, dora];
        string kernel = KernelPath.Supported[^1];
        using GraphRunner mixed = new(folder, kernel, adapters: new AdapterStack(checkpoint, adapters));
        using GraphRunner plain = new(folder, kernel);
        int[] of = [1, -1, 0, 2, 1];
        float[][] together = Decode(mixed, of);
        for (int i = 0; i < of.Length; i++)
        {
            using GraphRunner? alone = of[i] < 0 ? null : new(folder, kernel, adapters: new AdapterStack(checkpoint, adapters[of[i]]));
            float[] expected = Decode(alone ?? plain, [of[i] < 0 ? -1 : 0], first: i)[0];
            AssertBits(expected, together[i], $"{model} {precision}: sequence {i} with adapter {of[i]}");
        }

        Assert.True(Difference(together[1], Decode(mixed, [0], first: 1)[0]) > 1e-2, "an adapter changes what it sits on");
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_graph_with_an_adapter_computes_what_the_merged_weights_say(string model)
    {
        string folder = Export(model, WeightPrecision.F32);
        using Checkpoint checkpoint = Checkpoint.Open(_folder["in"]);
        long[] prompt = Prompt(checkpoint, 5, 20);
        foreach (bool dora in (bool[])[false, true])
        {
            using PeftAdapter adapter = Adapter(checkpoint, folder, 7, _ => true, rank: 5, dora);
            float[] merged = Reference(model, checkpoint, prompt, adapter), unchanged = Reference(model, checkpoint, prompt, null);
            foreach (string kernel in KernelPath.Supported)
            {
                using GraphRunner runner = new(folder, kernel, adapters: new AdapterStack(checkpoint, adapter));
                float[] logits = runner.Run(new RunnerChunk(new RunnerSequence(), prompt) { Adapter = 0 }).Logits;

                // The graphs' own tolerance: the adapter's products are more float32 sums of the same sizes.
                double difference = Difference(merged, logits), effect = Difference(merged, unchanged);
                output.WriteLine($"{model} {kernel}{(dora ? " DoRA" : "")}: {difference:E2} from the merged weights, {difference / Golden.LogitsTolerance:P0} of the tolerance; the adapter moves logits by {effect:E2}");
                Assert.True(difference <= Golden.LogitsTolerance, $"{difference:E2}");
                Assert.True(effect > 1e-2, $"{effect:E2}");
            }
        }
    }

    [Theory]
    [InlineData("Llama with biases")]
    [InlineData("Qwen2, tied")]
    public void Over_four_bit_weights_an_adapter_moves_logits_as_over_floats(string model)
    {
        string floats = Export(model, WeightPrecision.F32), packed = Export(model, WeightPrecision.W4A8, "packed");
        using Checkpoint checkpoint = Checkpoint.Open(_folder["in"]);
        using PeftAdapter adapter = Adapter(checkpoint, floats, 9, _ => true, rank: 8);
        long[] prompt = Prompt(checkpoint, 5, 40);
        float[] moved = Moved(floats), packedMoved = Moved(packed);

        // What the adapter does comes through; the rest is what 4 bits do to it on the way. Which values it reads is tested node by node in AdapterGraphTests.
        double cosine = moved.Zip(packedMoved, (a, b) => (double)a * b).Sum() / Math.Sqrt(moved.Sum(a => (double)a * a) * packedMoved.Sum(b => (double)b * b));
        output.WriteLine($"{model}: cosine {cosine:F3} between the changes over floats and over 4 bits");
        Assert.True(cosine > 0.9, $"{cosine}");

        float[] Moved(string folder)
        {
            using GraphRunner runner = new(folder, KernelPath.Supported[^1], adapters: new AdapterStack(checkpoint, adapter));
            float[] with = runner.Run(new RunnerChunk(new RunnerSequence(), prompt) { Adapter = 0 }).Logits;
            return [.. with.Zip(runner.Run(new RunnerChunk(new RunnerSequence(), prompt)).Logits, (changed, without) => changed - without)];
        }
    }

    private string Export(string model, WeightPrecision precision, string name = "out")
    {
        if (!Directory.Exists(_folder["in"]))
        {
            if (model == Lite)
            {
                RandomCheckpoint.Write(_folder["in"], new RandomCheckpointOptions { Layers = 2, Yarn = true });
            }
            else
            {
                RandomDecoder.Write(_folder["in"], RandomDecoder.Models[model]);
            }
        }

        ExportOptions options = new()
        {
            Precision = precision,
            Quantization = precision == WeightPrecision.W4A8 ? new QuantizationOptions { Recipe = QuantizationRecipe.RoundToNearest, GroupSize = 32 } : null,
        };
        return OnnxExporter.Export(_folder["in"], _folder[name], options).Folder;
    }

    /// <summary>An adapter of the modules that the graph has, without a head that is tied (its matrix is the embedding's).</summary>
    private static PeftAdapter Adapter(Checkpoint checkpoint, string folder, int seed, Func<string, bool> chosen, int rank, bool dora = false) => RandomAdapter.Create(
        checkpoint,
        seed,
        AdapterGraph.Read(Path.Combine(folder, ModelManifest.ModelFileName)).Modules.Keys.Where(module => checkpoint.Tensors.ContainsKey($"{module}.weight") && chosen(module)).Order(StringComparer.Ordinal),
        rank,
        dora);

    /// <summary>A prefill of prompts of different lengths, then five tokens one by one, all sequences in every step: the logits of each.</summary>
    private static float[][] Decode(GraphRunner runner, int[] adapters, int first = 0)
    {
        RunnerSequence[] sequences = [.. adapters.Select(_ => new RunnerSequence())];
        List<float>[] logits = [.. adapters.Select(_ => new List<float>())];
        for (int step = 0; step < 6; step++)
        {
            long[][] tokens = [.. adapters.Select((_, i) => Prompt(runner.VocabSize, (100 * step) + first + i, step == 0 ? 5 + (3 * (first + i)) : 1))];
            float[] all = runner.Run([.. adapters.Select((adapter, i) => new RunnerChunk(sequences[i], tokens[i]) { Adapter = adapter })]).Logits;
            for (int i = 0, at = 0; i < adapters.Length; at += tokens[i++].Length)
            {
                logits[i].AddRange(all.AsSpan(at * runner.VocabSize, tokens[i].Length * runner.VocabSize));
            }
        }

        return [.. logits.Select(rows => rows.ToArray())];
    }

    private float[] Reference(string model, Checkpoint checkpoint, long[] prompt, PeftAdapter? adapter)
    {
        float[]? Weights(string name) =>
            name.EndsWith(".weight", StringComparison.Ordinal) && adapter?.Modules.GetValueOrDefault(name[..^".weight".Length]) is { } matrix ? AdapterStack.Merged(checkpoint, matrix.Module, matrix) : null;
        if (model == Lite)
        {
            return [.. new DoubleReference(checkpoint, Weights).Run(prompt).Logits.SelectMany(row => row.Select(value => (float)value))];
        }

        using DecoderReference reference = new(_folder["in"], Weights);
        return reference.Run(prompt).Logits;
    }

    private static long[] Prompt(Checkpoint checkpoint, int seed, int length) => Prompt(checkpoint.Config.VocabSize, seed, length);

    private static long[] Prompt(int vocabulary, int seed, int length)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, length).Select(_ => (long)random.Next(3, vocabulary))];
    }

    private static void AssertBits(float[] expected, float[] actual, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        int at = Enumerable.Range(0, expected.Length).FirstOrDefault(i => BitConverter.SingleToInt32Bits(expected[i]) != BitConverter.SingleToInt32Bits(actual[i]), -1);
        Assert.True(at < 0, $"{what}: value {at} is {(at < 0 ? 0 : actual[at]):G9}, expected {(at < 0 ? 0 : expected[at]):G9}");
    }

    private static double Difference(float[] a, float[] b) => a.Zip(b, (x, y) => double.IsNaN(x - y) ? double.PositiveInfinity : Math.Abs((double)x - y)).Max();

    [GoldenTheory]
    [MemberData(nameof(GoldenCases))]
    public void The_graph_with_an_adapter_gives_what_the_fixture_says_and_without_it_the_base(string fixture, string kernel)
    {
        using Golden golden = new(output, fixture, "golden.safetensors");
        using Checkpoint checkpoint = Checkpoint.Open(GoldenFixtures.Path("longcat-flash"));
        using PeftAdapter adapter = PeftAdapter.Load(GoldenFixtures.Path(fixture));
        string folder = fixtures.Folder("longcat-flash");
        using GraphRunner runner = new(folder, kernel, adapters: new AdapterStack(checkpoint, adapter));
        using GraphRunner plain = new(folder, kernel);
        long[][] rows = golden.Rows("input_ids");

        // The fixtures' own tolerance for adapters: their two low-rank products in float32 are added in another order than ours.
        float[] adapted = runner.Run([.. rows.Select(row => new RunnerChunk(new RunnerSequence(), row) { Adapter = 0 })]).Logits;
        golden.Compare($"{fixture} {kernel} adapted", golden.Floats("logits"), adapted, Golden.DraftTolerance);
        golden.Compare($"{fixture} {kernel} adapted, merged by the fixture", golden.Floats("merged.logits"), adapted, Golden.DraftTolerance);
        float[] without = runner.Run([.. rows.Select(row => new RunnerChunk(new RunnerSequence(), row))]).Logits;
        golden.Compare($"{fixture} {kernel} base", golden.Floats("base.logits"), without, Golden.LogitsTolerance);
        Assert.Equal(plain.Run([.. rows.Select(row => new RunnerChunk(new RunnerSequence(), row))]).Logits, without);
        Assert.Equal(golden.Longs("greedy_ids"), Greedy(runner, rows));
    }

    private static IEnumerable<long> Greedy(GraphRunner runner, long[][] prompts)
    {
        RunnerSequence[] sequences = [.. prompts.Select(_ => new RunnerSequence())];
        long[][] next = prompts;
        List<long>[] ids = [.. prompts.Select(_ => new List<long>())];
        for (int i = 0; i < 16; i++)
        {
            float[] logits = runner.Run([.. sequences.Select((sequence, b) => new RunnerChunk(sequence, next[b]) { Adapter = 0 })]).Logits;
            int rows = next[0].Length;
            for (int b = 0; b < prompts.Length; b++)
            {
                Span<float> last = logits.AsSpan((((b + 1) * rows) - 1) * runner.VocabSize, runner.VocabSize);
                ids[b].Add(last.IndexOf(last.ToArray().Max()));
            }

            next = [.. ids.Select(made => new[] { made[^1] })];
        }

        return ids.SelectMany(made => made);
    }
}

using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Onnx.Tests;

/// <summary>
/// The exported graphs of the plain decoders against a double-precision reference, on small random models of every family: Qwen2 and Mistral have no golden
/// fixture, windows and biases occur in none of them.
/// </summary>
[Collection(KernelPath.Collection)]
public sealed class DecoderParityTests(ITestOutputHelper output) : IDisposable
{
    private const int PromptLength = 24;

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string, string> Cases
    {
        get
        {
            TheoryData<string, string> cases = [];
            foreach (string model in RandomDecoder.Models.Keys)
            {
                foreach (string kernel in KernelPath.Supported)
                {
                    cases.Add(model, kernel);
                }
            }

            return cases;
        }
    }

    public static TheoryData<string> Kernels => [.. KernelPath.Supported];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Cases))]
    public void The_graphs_compute_what_the_formulas_say_however_the_tokens_are_cut(string name, string kernel)
    {
        string export = Export(RandomDecoder.Models[name]);
        long[][] prompts = [Prompt(1, PromptLength), Prompt(2, PromptLength - 5)];
        using DecoderReference reference = new(_folder["in"]);
        (float[] Logits, float[] Hidden)[] expected = [.. prompts.Select(reference.Run)];
        using GraphRunner runner = new(export, kernel);

        RunnerResult together = runner.Run([.. prompts.Select(prompt => new RunnerChunk(new RunnerSequence(), prompt))]);
        Compare($"{name} {kernel} prefill", [.. expected.SelectMany(e => e.Logits)], together.Logits, Golden.LogitsTolerance);
        Compare($"{name} {kernel} hidden", [.. expected.SelectMany(e => e.Hidden)], together.Hidden, Golden.HiddenTolerance);

        RunnerSequence chunked = new();
        List<float> logits = [];
        foreach (int length in (int[])[7, 1, 5, 10, 1])
        {
            logits.AddRange(runner.Run(new RunnerChunk(chunked, prompts[0].AsSpan(chunked.Length, length).ToArray())).Logits);
        }

        Compare($"{name} {kernel} chunks", expected[0].Logits, [.. logits], Golden.LogitsTolerance);

        // One sequence is decoded token by token while the other one's prompt comes in pieces beside it.
        RunnerSequence decoding = new();
        RunnerSequence prefilling = new();
        List<float>[] mixed = [[], []];
        int v = runner.VocabSize;
        while (decoding.Length < prompts[0].Length)
        {
            int piece = Math.Min(3, prompts[1].Length - prefilling.Length);
            float[] step = runner.Run(
                new RunnerChunk(decoding, [prompts[0][decoding.Length]]), new RunnerChunk(prefilling, prompts[1].AsSpan(prefilling.Length, piece).ToArray())).Logits;
            mixed[0].AddRange(step[..v]);
            mixed[1].AddRange(step[v..]);
        }

        Compare($"{name} {kernel} token by token beside a prefill", expected[0].Logits, [.. mixed[0]], Golden.LogitsTolerance);
        Compare($"{name} {kernel} prefill beside single tokens", expected[1].Logits, [.. mixed[1]], Golden.LogitsTolerance);
    }

    /// <summary>The checkpoint's matrices are bfloat16 values, so storing them as such loses nothing: both exports are held to the same reference.</summary>
    [Theory]
    [MemberData(nameof(Kernels))]
    public void A_bfloat16_checkpoint_is_exact_in_either_precision(string kernel)
    {
        foreach (string architecture in (string[])["Qwen2ForCausalLM", "MixtralForCausalLM"])
        {
            RandomDecoder.Write(_folder[architecture], new RandomDecoderOptions { Architecture = architecture, BFloat16 = true, Tied = true, Window = 6 });
            using DecoderReference reference = new(_folder[architecture]);
            long[] prompt = Prompt(3, PromptLength);
            (float[] logits, _) = reference.Run(prompt);
            foreach (WeightPrecision precision in (WeightPrecision[])[WeightPrecision.F32, WeightPrecision.BF16])
            {
                using GraphRunner runner = new(
                    OnnxExporter.Export(_folder[architecture], _folder[$"{architecture}-{precision}"], new ExportOptions { Precision = precision }).Folder, kernel);
                Compare($"{architecture} {precision} {kernel}", logits, runner.Run(new RunnerChunk(new RunnerSequence(), prompt)).Logits, Golden.LogitsTolerance);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Kernels))]
    public void A_bfloat16_cache_moves_the_logits_a_little(string kernel)
    {
        RandomDecoder.Write(_folder["in"]);
        long[] prompt = Prompt(4, PromptLength);
        float[][] logits = [.. new[] { CacheType.Float32, CacheType.BFloat16 }.Select(type =>
        {
            using GraphRunner runner = new(OnnxExporter.Export(_folder["in"], _folder[$"{type}"], new ExportOptions { CacheType = type }).Folder, kernel);
            return runner.Run(new RunnerChunk(new RunnerSequence(), prompt)).Logits;
        })];

        // bfloat16 keeps 8 bits: a relative error of up to 1/256 in each cached value.
        Compare($"{kernel} float32 against bfloat16 cache", logits[0], logits[1], 0.1);
        Assert.NotEqual(logits[0], logits[1]);
    }

    private string Export(RandomDecoderOptions options) => OnnxExporter.Export(RandomDecoder.Write(_folder["in"], options), _folder["out"]).Folder;

    private static long[] Prompt(int seed, int length)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, length).Select(_ => (long)random.Next(272))];
    }

    private void Compare(string what, float[] expected, float[] actual, double tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        double largest = expected.Zip(actual, (e, a) => Math.Abs((double)e - a)).Max();
        output.WriteLine($"{what}: max abs diff {largest:E2}, {largest / tolerance:P0} of the tolerance {tolerance:E0}; largest value {expected.Max(Math.Abs):F1}");
        Assert.True(largest <= tolerance && actual.All(float.IsFinite), $"{what}: max abs diff {largest:E2} exceeds {tolerance:E0}");
    }
}

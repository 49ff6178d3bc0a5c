using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.TestShared;
using TorchSharp;
using Xunit.Abstractions;

namespace LongCat.ML.Modules.Tests;

/// <summary>
/// The plain decoders against an independent implementation's fixtures, and, for every family, against a double-precision reference on small random checkpoints.
/// The limits are those of <see cref="ParityTests"/>, for the same reasons.
/// </summary>
public class DecoderParityTests(ITestOutputHelper output)
{
    private const double Logits = 5e-5;
    private const double Hidden = 1e-4;

    public static TheoryData<string> Folders => new("llama", "llama3-rope", "qwen3", "mixtral", "qwen3-moe");

    public static TheoryData<string> ModelNames => [.. RandomDecoder.Models.Keys];

    [GoldenTheory]
    [MemberData(nameof(Folders))]
    public void Every_intermediate_result_equals_the_golden_one(string folder)
    {
        using var golden = new Golden(output, folder);
        using var model = CausalLanguageModel.Load(golden.Folder);
        using var frozen = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        using var batch = golden.Prompt();
        int compared = 0;
        var result = model.Forward(batch, (name, value) =>
        {
            if (golden.Has(name) && !name.EndsWith(".indices", StringComparison.Ordinal))
            {
                golden.Close(name, value, Hidden);
                compared++;
            }
        });
        Assert.True(compared >= 3, $"only {compared} intermediate results were there to compare");
        golden.Close("logits", model.Logits(result.Hidden), Logits);
        var config = Assert.IsType<DecoderConfig>(model.Config);
        Assert.Equal(config.SparseLayers.Count(sparse => sparse), result.Routing.Count);
        for (int layer = 0; layer < result.Routing.Count; layer++)
        {
            int topK = config.Experts!.TopK;
            Assert.Equal(golden.Int64($"router.{layer}.indices"), result.Routing[layer].Indices.Chunk(topK).SelectMany(chosen => chosen.Order()));
        }
    }

    [GoldenTheory]
    [MemberData(nameof(Folders))]
    public void Greedy_continuations_are_equal(string folder)
    {
        using var golden = new Golden(output, folder);
        using var model = CausalLanguageModel.Load(golden.Folder);
        using var frozen = torch.no_grad();
        int[] shape = golden.Shape("input_ids");
        int steps = golden.Shape("greedy_ids")[1], vocabulary = model.Config.VocabSize;
        long[] prompt = golden.Int64("input_ids"), expected = golden.Int64("greedy_ids");
        float[] expectedLogits = golden.Float32("greedy_logits");
        for (int row = 0; row < shape[0]; row++)
        {
            var ids = prompt.AsSpan(row * shape[1], shape[1]).ToArray().ToList();
            for (int step = 0; step < steps; step++)
            {
                using var scope = torch.NewDisposeScope();
                using var batch = new SequenceBatch([.. ids], 1, ids.Count);
                var last = model.Logits(model.Forward(batch).Hidden.narrow(0, ids.Count - 1, 1));
                golden.Close($"greedy_logits[{row},{step}]", expectedLogits.AsSpan(((row * steps) + step) * vocabulary, vocabulary), MemoryMarshal.Cast<byte, float>(last.bytes), Logits);
                ids.Add(last.argmax(1).item<long>());
                Assert.Equal(expected[(row * steps) + step], ids[^1]);
            }
        }
    }

    /// <summary>The reference itself is held against the fixtures, so that it can speak for the families that have none.</summary>
    [GoldenTheory]
    [MemberData(nameof(Folders))]
    public void The_reference_equals_the_golden_logits(string folder)
    {
        using var golden = new Golden(output, folder);
        using DecoderReference reference = new(golden.Folder);
        int[] shape = golden.Shape("input_ids");
        var rows = golden.Int64("input_ids").Chunk(shape[1]).Select(reference.Run).ToList();
        golden.Close("logits", golden.Float32("logits"), rows.SelectMany(r => r.Logits).ToArray(), Logits);
        golden.Close("hidden_states.norm", golden.Float32("hidden_states.norm"), rows.SelectMany(r => r.Hidden).ToArray(), Hidden);
    }

    [Theory]
    [MemberData(nameof(ModelNames))]
    public void Random_models_compute_what_the_formulas_say(string name)
    {
        using TemporaryFolder folder = new();
        RandomDecoder.Write(folder["model"], RandomDecoder.Models[name]);
        using DecoderReference reference = new(folder["model"]);
        using var model = CausalLanguageModel.Load(folder["model"]);
        long[] ids = Prompt(24, RandomDecoder.Models[name].Seed);
        var (logits, hidden) = reference.Run(ids);
        using var frozen = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        using var batch = new SequenceBatch(ids, 1, ids.Length);
        var result = model.Forward(batch);
        Close($"{name} hidden", hidden, result.Hidden, Hidden);
        Close($"{name} logits", logits, model.Logits(result.Hidden), Logits);
    }

    /// <summary>Documents packed into a row, two rows at once, with windows shorter than some documents and longer than others.</summary>
    [Theory]
    [MemberData(nameof(ModelNames))]
    public void A_packed_row_gives_each_document_the_logits_it_has_alone(string name)
    {
        using TemporaryFolder folder = new();
        RandomDecoder.Write(folder["model"], RandomDecoder.Models[name]);
        using var model = CausalLanguageModel.Load(folder["model"]);
        using var frozen = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        int[] lengths = [11, 1, 13, 7, 20, 12];
        long[] ids = Prompt(64, seed: 1);
        var starts = new int[64];
        for (int d = 0, at = 0; d < lengths.Length; at += lengths[d++])
        {
            Array.Fill(starts, at % 32, at, lengths[d]);
        }

        using var packed = new SequenceBatch(ids, 2, 32, starts);
        var together = model.Logits(model.Forward(packed).Hidden);
        for (int d = 0, at = 0; d < lengths.Length; at += lengths[d++])
        {
            using var alone = new SequenceBatch(ids[at..(at + lengths[d])], 1, lengths[d]);
            float[] expected = MemoryMarshal.Cast<byte, float>(model.Logits(model.Forward(alone).Hidden).bytes).ToArray();
            Close($"{name} document {d}", expected, together.narrow(0, at, lengths[d]), 2e-5);
        }
    }

    private static long[] Prompt(int length, int seed)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, length).Select(_ => (long)random.Next(272))];
    }

    private void Close(string what, float[] expected, torch.Tensor actual, double tolerance)
    {
        float[] values = MemoryMarshal.Cast<byte, float>(actual.contiguous().bytes).ToArray();
        Assert.Equal(expected.Length, values.Length);
        double largest = expected.Zip(values, (e, a) => Math.Abs((double)e - a)).Max();
        output.WriteLine($"{what}: largest difference {largest:E2} of {tolerance:E0} allowed; largest value {expected.Max(Math.Abs):F1}");
        Assert.True(largest <= tolerance && values.All(float.IsFinite), $"{what}: largest difference {largest:E3}, allowed {tolerance:E1}");
    }
}

using System.Runtime.InteropServices;
using LongCat.ML.Modules;
using LongCat.ML.TestShared;
using TorchSharp;
using Xunit.Abstractions;

namespace LongCat.ML.Modules.Tests;

/// <summary>
/// The modules against an independent implementation. Float32 sums in another order move the logits (which reach about 7) by about 1e-5; a wrong epsilon, scale or
/// order moves them by 1e-3 and more, so 5e-5 tells them apart.
/// </summary>
public class ParityTests(ITestOutputHelper output)
{
    private const double Logits = 5e-5;
    private const double Hidden = 1e-4;
    private const double Weights = 5e-6;

    public static TheoryData<string> Folders => new("longcat-flash", "longcat-flash-yarn", "longcat-flash-sharded", "longcat-flash-bf16", "longcat-lite", "longcat-lite-yarn");

    [GoldenTheory]
    [MemberData(nameof(Folders))]
    public void Every_intermediate_result_equals_the_golden_one(string folder)
    {
        using var golden = new Golden(output, folder);
        using var model = LongcatFlashForCausalLM.Load(golden.Folder);
        using var frozen = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        using var batch = golden.Prompt();
        int compared = 0;
        var result = model.Forward(batch, (name, value) =>
        {
            if (!golden.Has(name) || name.EndsWith(".indices", StringComparison.Ordinal) || name.EndsWith(".weights", StringComparison.Ordinal))
            {
                return;
            }

            golden.Close(name, value, name.EndsWith(".probs", StringComparison.Ordinal) ? Weights : Hidden);
            compared++;
        });
        Assert.True(compared >= 3, $"only {compared} intermediate results were there to compare");
        golden.Close("logits", model.Logits(result.Hidden), Logits);
        for (int layer = 0; layer < result.Routing.Count; layer++)
        {
            CompareRouting(golden, $"router.{layer}.", result.Routing[layer], model.Config.MoeTopK);
        }
    }

    [GoldenTheory]
    [MemberData(nameof(Folders))]
    public void Greedy_continuations_are_equal(string folder)
    {
        using var golden = new Golden(output, folder);
        using var model = LongcatFlashForCausalLM.Load(golden.Folder);
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

    [GoldenFact]
    public void The_draft_head_equals_the_golden_draft_step()
    {
        using var golden = new Golden(output, "longcat-flash-sharded", "mtp.safetensors");
        using var model = LongcatFlashForCausalLM.Load(golden.Folder);
        using var frozen = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        using var batch = golden.Prompt();
        int drafted = batch.Columns - 1;
        var hidden = model.ForwardDraft(model.Forward(batch).Hidden, batch, (name, value) =>
        {
            if (golden.Has(name["mtp.".Length..]))
            {
                golden.Close(name["mtp.".Length..], value.narrow(0, 0, drafted), Hidden);
            }
        });
        var logits = model.Logits(hidden.narrow(0, 0, drafted));
        golden.Close("logits", logits, 1e-4);
        Assert.Equal(golden.Int64("argmax"), MemoryMarshal.Cast<byte, long>(logits.argmax(1).bytes).ToArray());
    }

    [GoldenTheory]
    [InlineData("longcat-lite")]
    [InlineData("longcat-lite-yarn")]
    public void Table_ids_are_exact(string folder)
    {
        using var golden = new Golden(output, folder);
        using var model = LongcatFlashForCausalLM.Load(golden.Folder);
        using var batch = golden.Prompt();
        var ngram = model.Model.NGram!;
        Assert.Equal(golden.Int64("ngram_table_rows"), ngram.Hash.TableRows);
        long[] byTable = ngram.TableIds(batch);
        long[] byToken = new long[byTable.Length];
        for (int i = 0; i < ngram.Hash.Tables; i++)
        {
            for (int t = 0; t < batch.Tokens; t++)
            {
                byToken[(t * ngram.Hash.Tables) + i] = byTable[(i * batch.Tokens) + t];
            }
        }

        Assert.Equal(golden.Int64("ngram_ids"), byToken);
    }

    [GoldenFact]
    public void A_packed_row_gives_each_document_the_logits_it_has_alone()
    {
        using var golden = new Golden(output, "longcat-lite");
        using var model = LongcatFlashForCausalLM.Load(golden.Folder);
        using var frozen = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        using var prompt = golden.Prompt();
        int[] lengths = [11, 1, 13, 7];
        var starts = new int[32];
        for (int d = 0, at = 0; d < lengths.Length; at += lengths[d++])
        {
            Array.Fill(starts, at, at, lengths[d]);
        }

        using var packed = new SequenceBatch(prompt.InputIds[..32], 1, 32, starts);
        var together = model.Logits(model.Forward(packed).Hidden);
        for (int d = 0, at = 0; d < lengths.Length; at += lengths[d++])
        {
            using var alone = new SequenceBatch(prompt.InputIds[at..(at + lengths[d])], 1, lengths[d]);
            var expected = model.Logits(model.Forward(alone).Hidden);
            golden.Close($"document {d}", MemoryMarshal.Cast<byte, float>(expected.bytes), MemoryMarshal.Cast<byte, float>(together.narrow(0, at, lengths[d]).contiguous().bytes), 2e-5);
        }
    }

    private static void CompareRouting(Golden golden, string prefix, RoutingDecision decision, int topK)
    {
        long[] expected = golden.Int64(prefix + "indices");
        float[] expectedWeights = golden.Float32(prefix + "weights");
        float[] weights = MemoryMarshal.Cast<byte, float>(decision.Weights.contiguous().bytes).ToArray();
        var sortedIndices = new long[expected.Length];
        var sortedWeights = new float[expected.Length];
        for (int t = 0; t < expected.Length; t += topK)
        {
            int[] order = [.. Enumerable.Range(t, topK).OrderBy(i => decision.Indices[i])];
            for (int k = 0; k < topK; k++)
            {
                sortedIndices[t + k] = decision.Indices[order[k]];
                sortedWeights[t + k] = weights[order[k]];
            }
        }

        Assert.Equal(expected, sortedIndices);
        golden.Close(prefix + "weights", expectedWeights, sortedWeights, Weights);
    }
}

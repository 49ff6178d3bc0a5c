using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Onnx.Tests;

/// <summary>Graphs of standard operators against an independent implementation's logits and greedy continuations, through plain ONNX Runtime.</summary>
public sealed class StandardParityTests(StandardExports exports, ITestOutputHelper output) : IClassFixture<StandardExports>
{
    public static TheoryData<string> Fixtures =>
    [
        "longcat-flash", "longcat-flash-yarn", "longcat-flash-sharded", "longcat-flash-bf16", "longcat-lite", "longcat-lite-yarn",
        "llama", "llama3-rope", "qwen3", "mixtral", "qwen3-moe",
    ];

    [GoldenTheory]
    [MemberData(nameof(Fixtures))]
    public void Prefill_of_the_whole_batch_gives_the_golden_logits(string fixture)
    {
        using Golden golden = new(output, fixture, "golden.safetensors");
        long[][] rows = golden.Rows("input_ids");
        using PaddedGraphRunner runner = new(exports.Folder(fixture), rows.Length);

        float[][] logits = runner.Run(rows);

        golden.Compare($"{fixture} logits", golden.Floats("logits"), [.. logits.SelectMany(x => x)], Golden.LogitsTolerance);
    }

    [GoldenTheory]
    [MemberData(nameof(Fixtures))]
    public void Two_rows_of_different_lengths_token_by_token_give_the_golden_logits(string fixture)
    {
        using Golden golden = new(output, fixture, "golden.safetensors");
        long[][] rows = golden.Rows("input_ids");
        long[] first = rows[0];
        long[] second = rows[^1];
        using PaddedGraphRunner runner = new(exports.Folder(fixture), 2, inPlace: false);
        int v = runner.VocabSize;
        int ahead = first.Length / 2;

        // The first row starts with half of its tokens, the second with one: from then on they differ in length at every step.
        float[][] logits = runner.Run([first[..ahead], second[..1]]);
        List<float> firstLogits = [.. logits[0]];
        List<float> secondLogits = [.. logits[1]];
        for (int i = 0; ahead + i < first.Length; i++)
        {
            logits = runner.Run([[first[ahead + i]], [second[1 + i]]]);
            firstLogits.AddRange(logits[0]);
            secondLogits.AddRange(logits[1]);
        }

        float[] expected = golden.Floats(golden.Has("decode.logits") ? "decode.logits" : "logits");
        golden.Compare($"{fixture} first row", expected.AsSpan(0, first.Length * v), [.. firstLogits], Golden.LogitsTolerance);
        golden.Compare($"{fixture} second row", expected.AsSpan((rows.Length - 1) * second.Length * v, secondLogits.Count), [.. secondLogits], Golden.LogitsTolerance);
    }

    [GoldenTheory]
    [MemberData(nameof(Fixtures))]
    public void Chunks_of_one_row_give_the_golden_logits_from_where_they_are_asked_for(string fixture)
    {
        using Golden golden = new(output, fixture, "golden.safetensors");
        long[] row = golden.Rows("input_ids")[0];
        using PaddedGraphRunner runner = new(exports.Folder(fixture), 1);
        int v = runner.VocabSize;
        float[] expected = golden.Floats("logits");
        int done = 0;
        foreach (int length in (int[])[5, 1, 4, row.Length - 10])
        {
            int from = length / 2;
            float[] logits = runner.Run([row[done..(done + length)]], from)[0];
            golden.Compare($"{fixture} chunk at {done}", expected.AsSpan((done + from) * v, (length - from) * v), logits, Golden.LogitsTolerance);
            done += length;
        }
    }

    [GoldenTheory]
    [MemberData(nameof(Fixtures))]
    public void Greedy_continuations_are_the_golden_ones(string fixture)
    {
        using Golden golden = new(output, fixture, "golden.safetensors");
        long[][] prompts = golden.Rows("input_ids");
        using PaddedGraphRunner runner = new(exports.Folder(fixture), prompts.Length);
        int v = runner.VocabSize;
        float[][] last = [.. runner.Run(prompts, prompts[0].Length - 1)];
        List<long>[] ids = [.. prompts.Select(_ => new List<long>())];
        List<float>[] logits = [.. prompts.Select(_ => new List<float>())];
        for (int i = 0; i < 16; i++)
        {
            for (int b = 0; b < prompts.Length; b++)
            {
                Assert.Equal(v, last[b].Length);
                logits[b].AddRange(last[b]);
                ids[b].Add(Array.IndexOf(last[b], last[b].Max()));
            }

            last = runner.Run([.. ids.Select(row => new[] { row[^1] })]);
        }

        Assert.Equal(golden.Longs("greedy_ids"), ids.SelectMany(x => x));
        golden.Compare($"{fixture} greedy logits", golden.Floats("greedy_logits"), [.. logits.SelectMany(x => x)], Golden.LogitsTolerance);
    }
}

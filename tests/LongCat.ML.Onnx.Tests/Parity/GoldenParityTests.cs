using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Onnx.Tests;

/// <summary>The exported graphs against an independent implementation's logits, hidden states and greedy continuations, on every kernel path.</summary>
[Collection(KernelPath.Collection)]
public sealed class GoldenParityTests(ExportedFixtures fixtures, ITestOutputHelper output) : IClassFixture<ExportedFixtures>
{
    private static readonly string[] Fixtures =
    [
        "longcat-flash", "longcat-flash-yarn", "longcat-flash-sharded", "longcat-flash-bf16", "longcat-lite", "longcat-lite-yarn",
        "llama", "llama3-rope", "qwen3", "mixtral", "qwen3-moe",
    ];

    public static TheoryData<string, string> Cases
    {
        get
        {
            TheoryData<string, string> cases = [];
            foreach (string fixture in Fixtures)
            {
                foreach (string kernel in KernelPath.Supported)
                {
                    cases.Add(fixture, kernel);
                }
            }

            return cases;
        }
    }

    public static TheoryData<string> Kernels => [.. KernelPath.Supported];

    [GoldenTheory]
    [MemberData(nameof(Cases))]
    public void Prefill_of_the_whole_batch_gives_the_golden_logits_and_hidden_states(string fixture, string kernel)
    {
        using Golden golden = new(output, fixture, "golden.safetensors");
        using GraphRunner runner = new(fixtures.Folder(fixture), kernel);

        RunnerResult result = runner.Run([.. golden.Rows("input_ids").Select(row => new RunnerChunk(new RunnerSequence(), row))]);

        golden.Compare($"{fixture} {kernel} logits", golden.Floats("logits"), result.Logits, Golden.LogitsTolerance);
        golden.Compare($"{fixture} {kernel} hidden", golden.Floats("hidden_states.norm"), result.Hidden, Golden.HiddenTolerance);
    }

    [GoldenTheory]
    [MemberData(nameof(Cases))]
    public void One_sequence_at_a_time_in_copied_caches_gives_the_same(string fixture, string kernel)
    {
        using Golden golden = new(output, fixture, "golden.safetensors");
        using GraphRunner runner = new(fixtures.Folder(fixture), kernel, inPlace: false);

        float[] logits = [.. golden.Rows("input_ids").SelectMany(row => runner.Run(new RunnerChunk(new RunnerSequence(), row)).Logits)];

        golden.Compare($"{fixture} {kernel} logits one by one", golden.Floats("logits"), logits, Golden.LogitsTolerance);
    }

    [GoldenTheory]
    [MemberData(nameof(Cases))]
    public void Chunks_and_single_tokens_give_the_same_as_one_prefill(string fixture, string kernel)
    {
        using Golden golden = new(output, fixture, "golden.safetensors");
        using GraphRunner runner = new(fixtures.Folder(fixture), kernel);
        long[][] rows = golden.Rows("input_ids");

        // The chunk lengths put boundaries inside pages, inside n-gram windows and right after end-of-sequence tokens.
        (string Name, string Tensor, Func<int, int> Length)[] plans =
        [
            ("token by token", "decode.logits", _ => 1),
            ("nine, then one at a time", "chunk.logits", done => done == 0 ? 9 : 1),
            ("chunks of five", "logits", _ => 5),
            ("growing chunks", "logits", done => 1 + (done / 2)),
        ];
        foreach ((string name, string tensor, Func<int, int> length) in plans)
        {
            float[][] logits = InSteps(runner, rows, length);
            golden.Compare($"{fixture} {kernel} {name}", golden.Floats(golden.Has(tensor) ? tensor : "logits"), [.. logits.SelectMany(x => x)], Golden.LogitsTolerance);
        }
    }

    [GoldenTheory]
    [MemberData(nameof(Cases))]
    public void A_prefill_and_another_sequences_decode_share_a_step(string fixture, string kernel)
    {
        using Golden golden = new(output, fixture, "golden.safetensors");
        using GraphRunner runner = new(fixtures.Folder(fixture), kernel);
        long[][] rows = golden.Rows("input_ids");
        long[] first = rows[0];
        long[] second = rows[^1];
        RunnerSequence decoding = new();
        float[] prefix = runner.Run(new RunnerChunk(decoding, first[..7])).Logits;

        RunnerResult mixed = runner.Run(new RunnerChunk(decoding, first[7..8]), new RunnerChunk(new RunnerSequence(), second));

        float[] expected = golden.Floats("logits");
        int v = runner.VocabSize;
        golden.Compare($"{fixture} {kernel} decode beside a prefill", expected.AsSpan(0, 8 * v), [.. prefix, .. mixed.Logits[..v]], Golden.LogitsTolerance);
        golden.Compare($"{fixture} {kernel} prefill beside a decode", expected.AsSpan((rows.Length - 1) * second.Length * v), mixed.Logits.AsSpan(v), Golden.LogitsTolerance);
    }

    [GoldenTheory]
    [MemberData(nameof(Cases))]
    public void Greedy_continuations_are_the_golden_ones(string fixture, string kernel)
    {
        using Golden golden = new(output, fixture, "golden.safetensors");
        using GraphRunner runner = new(fixtures.Folder(fixture), kernel);

        CheckGreedy(golden, runner, $"{fixture} {kernel}");
    }

    [GoldenTheory]
    [MemberData(nameof(Kernels))]
    public void The_bfloat16_fixture_exported_as_bfloat16_is_exact_too(string kernel)
    {
        // The checkpoint's matrices are bfloat16 values, so storing them as such loses nothing.
        using Golden golden = new(output, "longcat-flash-bf16", "golden.safetensors");
        using GraphRunner runner = new(fixtures.Folder("longcat-flash-bf16", WeightPrecision.BF16), kernel);

        RunnerResult result = runner.Run([.. golden.Rows("input_ids").Select(row => new RunnerChunk(new RunnerSequence(), row))]);

        golden.Compare($"bf16 {kernel} logits", golden.Floats("logits"), result.Logits, Golden.LogitsTolerance);
        golden.Compare($"bf16 {kernel} hidden", golden.Floats("hidden_states.norm"), result.Hidden, Golden.HiddenTolerance);
        CheckGreedy(golden, runner, $"bf16 {kernel}");
    }

    [GoldenTheory]
    [MemberData(nameof(Kernels))]
    public void The_draft_head_gives_the_golden_draft_step(string kernel)
    {
        const string Fixture = "longcat-flash-sharded";
        using Golden golden = new(output, Fixture, "golden.safetensors");
        using Golden draft = new(output, Fixture, "mtp.safetensors");
        string folder = fixtures.Folder(Fixture);
        using GraphRunner main = new(folder, kernel);
        using GraphRunner head = new(folder, kernel, ModelManifest.DraftFileName);
        long[] ids = draft.Longs("input_ids");
        int h = main.HiddenSize;

        // Position t sees the embedding of token t + 1 and the main model's hidden state at t, so the last token has no draft step.
        float[] hidden = main.Run(new RunnerChunk(new RunnerSequence(), ids)).Hidden[..((ids.Length - 1) * h)];
        RunnerResult whole = head.Run(new RunnerChunk(new RunnerSequence(), ids[1..], hidden));
        draft.Compare($"draft {kernel} logits", draft.Floats("logits"), whole.Logits, Golden.DraftTolerance);
        draft.Compare($"draft {kernel} hidden_out", draft.Floats("norm.output"), whole.Hidden, Golden.DraftTolerance);
        Assert.Equal(draft.Longs("argmax"), whole.Logits.Chunk(head.VocabSize).Select(row => (long)Array.IndexOf(row, row.Max())));

        RunnerSequence sequence = new();
        List<float> logits = [];
        for (int t = 0; t < ids.Length - 1; t++)
        {
            logits.AddRange(head.Run(new RunnerChunk(sequence, [ids[t + 1]], hidden[(t * h)..((t + 1) * h)])).Logits);
        }

        draft.Compare($"draft {kernel} logits token by token", draft.Floats("logits"), logits.ToArray(), Golden.DraftTolerance);
    }

    /// <summary>Sixteen argmax steps for the whole batch at once; generation does not stop at the end-of-sequence token.</summary>
    private static void CheckGreedy(Golden golden, GraphRunner runner, string name)
    {
        long[][] prompts = golden.Rows("input_ids");
        RunnerSequence[] sequences = [.. prompts.Select(_ => new RunnerSequence())];
        int v = runner.VocabSize;
        float[] step = runner.Run([.. prompts.Select((prompt, b) => new RunnerChunk(sequences[b], prompt))]).Logits;
        float[][] last = [.. Enumerable.Range(0, prompts.Length).Select(b => step.AsSpan((((b + 1) * prompts[b].Length) - 1) * v, v).ToArray())];
        List<long>[] ids = [.. prompts.Select(_ => new List<long>())];
        List<float>[] logits = [.. prompts.Select(_ => new List<float>())];
        for (int i = 0; i < 16; i++)
        {
            for (int b = 0; b < prompts.Length; b++)
            {
                logits[b].AddRange(last[b]);
                ids[b].Add(Array.IndexOf(last[b], last[b].Max()));
            }

            step = runner.Run([.. sequences.Select((sequence, b) => new RunnerChunk(sequence, [ids[b][^1]]))]).Logits;
            last = [.. step.Chunk(v)];
        }

        Assert.Equal(golden.Longs("greedy_ids"), ids.SelectMany(x => x));
        golden.Compare($"{name} greedy logits", golden.Floats("greedy_logits"), [.. logits.SelectMany(x => x)], Golden.LogitsTolerance);
    }

    private static float[][] InSteps(GraphRunner runner, long[][] rows, Func<int, int> length)
    {
        RunnerSequence[] sequences = [.. rows.Select(_ => new RunnerSequence())];
        List<float>[] logits = [.. rows.Select(_ => new List<float>())];
        for (int done = 0; done < rows[0].Length;)
        {
            int count = Math.Min(length(done), rows[0].Length - done);
            float[] step = runner.Run([.. rows.Select((row, b) => new RunnerChunk(sequences[b], row[done..(done + count)]))]).Logits;
            for (int b = 0; b < rows.Length; b++)
            {
                logits[b].AddRange(step.AsSpan(b * count * runner.VocabSize, count * runner.VocabSize));
            }

            done += count;
        }

        return [.. logits.Select(x => x.ToArray())];
    }
}

using LongCat.ML.Onnx.Messages;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Native.Tests;

internal static partial class FuzzCases
{
    public static FuzzCase LoraMatMul(Random random)
    {
        int k = Size(random, 60), n = Size(random, 70), m = Size(random, 20), adapters = random.Next(1, 5);
        bool threeDimensions = random.Next(2) == 0, several = adapters > 1 || random.Next(2) == 0, gains = random.Next(2) == 0;
        long[] leading = threeDimensions ? [m, 2] : [m];
        int rows = threeDimensions ? 2 * m : m;
        int[] start = [0, .. Enumerable.Range(0, adapters).Select(_ => Size(random, 12))];
        for (int i = 0; i < adapters; i++)
        {
            start[i + 1] += start[i];
        }

        int ranks = start[^1];
        Feed?[] inputs =
        [
            new("x", random.Floats(rows * k), [.. leading, k]), new("base", random.Floats(rows * n), [.. leading, n]), new("A", random.Floats(k * ranks), k, ranks),
            new("B", random.Floats(ranks * n), ranks, n),
            several ? new("row_adapter", Enumerable.Range(0, rows).Select(_ => random.Next(-1, adapters)).ToArray(), rows) : null,
            several ? new("adapter_start", start, adapters + 1) : null, gains ? new("gain", random.Floats(adapters * n), adapters, n) : null,
            random.Next(2) == 0 ? new("bias", random.Floats(n), n) : null, random.Next(2) == 0 ? new("residual", random.Floats(rows * n), [.. leading, n]) : null,
        ];
        List<Spoiling> spoilings =
        [
            Resize("x", k + 2, "input 0 (x)", axis: leading.Length), Scalar("x", "input 0 (x)"), Resize("base", n + 2, "input 1 (base)", axis: leading.Length),
            Rank("base", "input 1 (base)"), Rank("A", "input 2 (A)"), Resize("A", k + 1, ranks, "input 0 (x)"), Resize("A", k, ranks + 1, "input 3 (B)"),
            Rank("B", "input 3 (B)"), Resize("B", ranks + 1, n, "input 3 (B)"), Resize("B", ranks, n + 1, "input 1 (base)"),
        ];
        if (several)
        {
            spoilings.AddRange(
            [
                Resize("row_adapter", rows + 1, "input 4 (row_adapter)"), Rank("row_adapter", "input 4 (row_adapter)"), Resize("adapter_start", 0, "input 5 (adapter_start)"),
                Rank("adapter_start", "input 5 (adapter_start)"), Value("adapter_start", 0, 1, "adapter_start"), Value("adapter_start", adapters, ranks + 1, "adapter_start"),
            ]);
            if (rows > 0)
            {
                int at = random.Next(rows);
                spoilings.AddRange([Value("row_adapter", at, -2, $"row_adapter[{at}] is -2"), Value("row_adapter", at, adapters, $"row_adapter[{at}] is {adapters}")]);
            }
        }

        if (gains)
        {
            spoilings.AddRange([Resize("gain", adapters + 1, n, "input 6 (gain)"), Resize("gain", adapters, n + 1, "input 6 (gain)"), Rank("gain", "input 6 (gain)")]);
        }

        spoilings.AddRange(inputs[7] is null ? [] : [Resize("bias", n + 1, "input 7 (bias)"), Rank("bias", "input 7 (bias)")]);
        spoilings.AddRange(inputs[8] is null ? [] : [Resize("residual", n + 1, "input 8 (residual)", axis: leading.Length), Rank("residual", "input 8 (residual)")]);
        return Fuzz("LoraMatMul", inputs, s_floats, [], spoilings, $"[{string.Join(", ", leading)}, {k}] to {n}, {ranks} ranks of {adapters} adapters");
    }

    /// <summary>The inputs of a mixture with adapters, in half the cases; not every projection has them.</summary>
    private static Feed?[] WithExpertAdapters(Random random, Feed[] inputs, int experts, int hidden, int inner, int tokens, List<Spoiling> spoilings)
    {
        if (random.Next(2) == 0)
        {
            return inputs;
        }

        int adapters = random.Next(1, 4);
        Feed?[] all = [.. inputs, .. new Feed?[22 - inputs.Length]];
        all[15] = new("row_adapter", Enumerable.Range(0, tokens).Select(_ => random.Next(-1, adapters)).ToArray(), tokens);
        string[] names = ["gate", "up", "down"];
        for (int i = 0; i < 3; i++)
        {
            if (i < 2 && random.Next(4) == 0)
            {
                continue;
            }

            int k = i < 2 ? hidden : inner, n = i < 2 ? inner : hidden, place = i;
            int[] start = [0, .. Enumerable.Range(0, adapters).Select(_ => Size(random, 9))];
            for (int x = 0; x < adapters; x++)
            {
                start[x + 1] += start[x];
            }

            int ranks = start[^1];
            string a = $"{names[i]}_A", b = $"{names[i]}_B", starts = $"{names[i]}_start", gain = $"{names[i]}_gain";
            all[9 + (2 * i)] = new(a, random.Floats(experts * k * ranks).Select(value => value * 0.3f).ToArray(), experts, k, ranks);
            all[10 + (2 * i)] = new(b, random.Floats(experts * ranks * n).Select(value => value * 0.3f).ToArray(), experts, ranks, n);
            all[16 + i] = new(starts, start, adapters + 1);
            spoilings.AddRange(
            [
                Rank(a, $"({a})"), Rank(b, $"({b})"), Rank(starts, $"({starts})"), Value(starts, 0, 1, $"start of {names[i]}"),
                new($"input {9 + (2 * place)} ({a})", fuzz => Change(fuzz, a, old => Sized(old, experts, k + 1, ranks))),
                new($"input {10 + (2 * place)} ({b})", fuzz => Change(fuzz, b, old => Sized(old, experts, ranks, n + 1))),
            ]);
            if (random.Next(2) == 0)
            {
                all[19 + i] = new(gain, random.Floats(experts * adapters * n), experts, adapters, n);
                spoilings.AddRange([Rank(gain, $"({gain})"), new($"input {19 + place} ({gain})", fuzz => Change(fuzz, gain, old => Sized(old, experts, adapters, n + 1)))]);
            }
        }

        spoilings.AddRange([Rank("row_adapter", "input 15 (row_adapter)"), Resize("row_adapter", tokens + 1, "input 15 (row_adapter)")]);
        if (tokens > 0)
        {
            spoilings.AddRange([Value("row_adapter", 0, -2, "row_adapter[0] is -2"), Value("row_adapter", tokens - 1, adapters, $"row_adapter[{tokens - 1}] is {adapters}")]);
        }

        return all;
    }

    /// <summary>The inputs of latent attention with merged matrices, in half the cases.</summary>
    private static Feed?[] WithAdapters(Random random, Feed[] inputs, int[] lengths, int rows, int rank, List<Spoiling> spoilings)
    {
        if (random.Next(2) == 0)
        {
            return inputs;
        }

        int adapters = random.Next(0, 4), tokens = lengths.Sum();
        int[] of = [.. lengths.SelectMany(length => Enumerable.Repeat(random.Next(-1, adapters), length))];
        spoilings.AddRange(
        [
            Resize("kv_b_adapted", rows, rank, "input 10 (kv_b_adapted)"), Resize("row_adapter", tokens + 1, "input 11 (row_adapter)"), Rank("row_adapter", "input 11 (row_adapter)"),
            new("input 10 (kv_b_adapted)", fuzz => Change(fuzz, "kv_b_adapted", old => Sized(old, adapters, rows, rank + 1))),
            new("input 10 (kv_b_adapted)", fuzz => Change(fuzz, "kv_b_adapted", old => Sized(old, adapters, rows + 1, rank))),
        ]);
        if (tokens > 0)
        {
            spoilings.AddRange([Value("row_adapter", 0, -2, "row_adapter[0] is -2"), Value("row_adapter", tokens - 1, adapters, "row_adapter[")]);
        }

        return [.. inputs, new Feed("kv_b_adapted", random.Floats(adapters * rows * rank), adapters, rows, rank), new Feed("row_adapter", of, tokens)];
    }
}

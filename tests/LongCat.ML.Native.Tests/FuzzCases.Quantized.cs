using LongCat.ML.Onnx;
using LongCat.ML.Onnx.Messages;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Native.Tests;

internal static partial class FuzzCases
{
    private static readonly (string, ElementType)[] s_rows = [("y", ElementType.Int8), ("y_scale", ElementType.Float), ("y_sums", ElementType.Int32)];

    public static FuzzCase W4A8MatMul(Random random)
    {
        int k = random.Next(1, 200), n = random.Next(1, 150), m = Size(random, 20), groupSize = random.Next(3) == 0 ? 0 : 8 * random.Next(1, 9);
        Int8Reference.Weights weights = Int8Reference.Weights.Random(random, n, k, groupSize, groupSize == 0 || groupSize >= k ? random.Next(3) : random.Next(1, 3));
        bool threeDimensions = random.Next(2) == 0, quantized = random.Next(2) == 0;
        long[] leading = threeDimensions ? [m, 2] : [m];
        int rows = threeDimensions ? 2 * m : m;
        float[] x = random.Floats(rows * k);
        Int8Reference.Rows bytes = Int8Reference.Quantize(x, k, weights.Group);
        Feed?[] all = W4A8MatMulTests.Inputs(
            quantized ? new("A", bytes.Values, [.. leading, k]) : new("A", x, [.. leading, k]), quantized ? new("a_scale", bytes.Scales, rows) : null,
            quantized ? new("a_sums", bytes.Sums, rows, weights.Groups) : null, weights, random.Floats(n), random.Floats(rows * n), leading);
        List<Spoiling> spoilings =
        [
            Resize("A", k + 2, "input 0 (A)", axis: leading.Length), Scalar("A", "input 0 (A)"), Type("A", "input 0 (A)"), Rank("B", "input 3 (B)"),
            Resize("B", 1, "input 3 (B)", axis: 0), Resize("B", 256, "input 3 (B)", axis: 1),
            Resize("scale", n + 1, "input 4 (scale)"), Resize("bias", n - 1, "input 5 (bias)"), Resize("residual", 1, "input 6 (residual)", axis: leading.Length),
            Rank("residual", "input 6 (residual)"),
        ];
        if (quantized)
        {
            spoilings.AddRange(
            [
                Resize("a_scale", rows + 1, "input 1 (a_scale)"), Rank("a_scale", "input 1 (a_scale)"),
                Resize("a_sums", rows, weights.Groups + 1, "input 2 (a_sums)"), Resize("a_sums", rows + 1, weights.Groups, "input 2 (a_sums)"),
            ]);
        }

        return Fuzz(
            "W4A8MatMul", all, s_floats, W4A8MatMulTests.Attributes(weights, quantized ? 0 : random.Next(3) * 0.01f), spoilings,
            $"A [{string.Join(", ", leading)}, {k}]{(quantized ? " int8" : "")}, B [{n}, {k}] group {groupSize} of {weights.GroupScaleBytes} bytes") with { Exact = true };
    }

    public static FuzzCase W8A8MatMul(Random random)
    {
        int k = random.Next(1, 150), n = random.Next(1, 150), m = Size(random, 20);
        bool threeDimensions = random.Next(2) == 0;
        long[] leading = threeDimensions ? [m, 2] : [m];
        int rows = threeDimensions ? 2 * m : m;
        Feed?[] all =
        [
            new("A", random.Floats(rows * k), [.. leading, k]), W8A8MatMulTests.Pack(W8A8MatMulTests.Levels(random, n * k), n, k), new("scale", random.Floats(n), n),
            new("bias", random.Floats(n), n),
        ];
        Spoiling[] spoilings =
        [
            Resize("A", k + 1, "input 0 (A)", axis: leading.Length), Scalar("A", "input 0 (A)"), Rank("B", "input 1 (B)"),
            .. Enumerable.Range(0, 4).Select(axis => Resize("B", 1, "input 1 (B)", axis)), Resize("scale", n + 1, "input 2 (scale)"), Rank("bias", "input 3 (bias)"),
        ];
        return Fuzz(
            "W8A8MatMul", all, s_floats, W8A8MatMulTests.Attributes(n, k, NodeAttribute.Int("activation_bits", 8 * random.Next(1, 3))), spoilings,
            $"A [{string.Join(", ", leading)}, {k}], B [{n}, {k}]") with { Exact = true };
    }

    public static FuzzCase Int8Embedding(Random random)
    {
        int hidden = random.Next(1, 150), vocabulary = random.Next(1, 150), tokens = Size(random, 40);
        Feed?[] all =
        [
            new("ids", Enumerable.Range(0, tokens).Select(_ => (long)random.Next(vocabulary)).ToArray(), tokens),
            W8A8MatMulTests.Pack(W8A8MatMulTests.Levels(random, vocabulary * hidden), vocabulary, hidden), new("scale", random.Floats(vocabulary), vocabulary),
        ];
        List<Spoiling> spoilings =
        [
            Rank("ids", "input 0 (ids)"), Rank("B", "input 1 (B)"), .. Enumerable.Range(0, 4).Select(axis => Resize("B", 1, "input 1 (B)", axis)),
            Resize("scale", vocabulary + 1, "input 2 (scale)"),
        ];
        if (tokens > 0)
        {
            int at = random.Next(tokens);
            long[] outside = [-1, long.MinValue, long.MaxValue, vocabulary];
            spoilings.AddRange(outside.Select(id => Value("ids", at, id, $"ids[{at}] is token {id}")));
        }

        return Fuzz("Int8Embedding", all, s_floats, W8A8MatMulTests.Attributes(vocabulary, hidden), spoilings, $"{tokens} tokens, {vocabulary} rows of {hidden}") with { Exact = true };
    }

    public static FuzzCase RmsNormQuantize(Random random)
    {
        int m = Size(random, 20), k = Size(random, 200);
        bool skip = random.Next(2) == 0;
        Feed?[] all = [new("x", random.Floats(m * k), m, k), new("weight", random.Floats(k), k), skip ? new("skip", random.Floats(m * k), m, k) : null];
        List<Spoiling> spoilings = [Rank("x", "input 0 (x)"), Resize("weight", k + 1, "input 1 (weight)"), Rank("weight", "input 1 (weight)")];
        if (skip)
        {
            spoilings.AddRange([Rank("skip", "input 2 (skip)"), Resize("skip", m + 1, k, "input 2 (skip)"), Resize("skip", m, k + 1, "input 2 (skip)")]);
        }

        return Fuzz(
            "RmsNormQuantize", all, random.Next(2) == 0 ? s_rows : [.. s_rows, ("normed", ElementType.Float), ("sum", ElementType.Float)],
            [NodeAttribute.Float("epsilon", 1e-5), .. RowAttributes(random)], spoilings, $"[{m}, {k}]{(skip ? " with skip" : "")}");
    }

    public static FuzzCase SiluMulQuantize(Random random)
    {
        int m = Size(random, 20), k = Size(random, 200);
        Feed?[] all = [new("gate", random.Floats(m * k), m, k), new("up", random.Floats(m * k), m, k)];
        Spoiling[] spoilings =
            [Rank("gate", "input 0 (gate)"), Rank("up", "input 1 (up)"), Resize("up", m + 1, k, "input 1 (up)"), Resize("gate", m, k + 1, "input 1 (up)")];
        return Fuzz(
            "SiluMulQuantize", all, random.Next(2) == 0 ? s_rows : [.. s_rows, ("value", ElementType.Float)], RowAttributes(random), spoilings, $"[{m}, {k}]");
    }

    private static readonly (string, ElementType)[] s_floats = [("Y", ElementType.Float)];

    private static AttributeProto[] RowAttributes(Random random) =>
        [NodeAttribute.Int("group_size", 8 * random.Next(8)), NodeAttribute.Float("activation_scale", random.Next(2) * 0.01f)];

    private static FuzzCase Fuzz(string type, Feed?[] inputs, (string, ElementType)[] outputs, AttributeProto[] attributes, IEnumerable<Spoiling> spoilings, string description) =>
        new(type, inputs, outputs, attributes, [.. spoilings], description);

    // d integers, then their scale, in each row.
    private static Feed ScaledRows(Random random, string name, int rows, int width) => new(
        name, Enumerable.Range(0, rows).SelectMany(_ => W8A8MatMulTests.Levels(random, width).Select(value => (byte)value).Concat(BitConverter.GetBytes(random.NextSingle() / 127))).ToArray(),
        rows, width + 4);
}

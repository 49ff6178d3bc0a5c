using LongCat.ML.Onnx;
using LongCat.ML.Onnx.Messages;
using Microsoft.ML.OnnxRuntime;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Native.Tests;

/// <summary>The operator inside ONNX Runtime: variadic inputs and errors. Hash vectors are proven by the tests of the kernels.</summary>
public sealed class NGramEmbeddingTests
{
    private static readonly AttributeProto[] s_attributes =
    [
        NodeAttribute.Int("hash_vocab_size", 8), NodeAttribute.Int("neighbor_num", 2), NodeAttribute.Int("split_num", 1),
        NodeAttribute.Int("eos_token_id", 2), NodeAttribute.Ints("table_rows", [11]), NodeAttribute.String("fusion", "mean"),
    ];

    [Fact]
    public void Means_the_word_and_the_projected_row()
    {
        // Width 1: table row i holds i, the projection doubles and negates. Token 5 after token 3 hashes to (5 + 3 · 8) mod 11 = 7.
        Feed[] inputs = Inputs(5);
        using OperatorSession session = Open(inputs);
        Assert.Equal([(50 + 14) / 2f, (51 - 7) / 2f], session.Run(inputs));
    }

    [Fact]
    public void A_token_outside_the_vocabulary_fails_the_step()
    {
        Feed[] inputs = Inputs(8);
        using OperatorSession session = Open(inputs);
        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => session.Run(inputs));
        Assert.Contains("longcat::NGramEmbedding 'embedding': input_ids[0] is token 8, expected 0..7", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(6)]
    [InlineData(33)]
    public void A_table_of_integers_gives_what_a_table_of_their_products_gives(int width)
    {
        // Rows of `width` integers, their scale behind them: 7, 10 and 37 bytes a row, so that scales lie at any address.
        Random random = new(9);
        sbyte[] integers = [.. Enumerable.Range(0, 12 * width).Select(_ => (sbyte)random.Next(-127, 128))];
        float[] scales = [.. Enumerable.Range(0, 12).Select(_ => random.NextSingle() / 127)], projection = [.. Enumerable.Range(0, 2 * width).Select(_ => random.NextSingle())];
        byte[] bytes = [.. Enumerable.Range(0, 12).SelectMany(row =>
            integers.Skip(row * width).Take(width).Select(value => (byte)value).Concat(BitConverter.GetBytes(scales[row])))];
        Feed[] floats = [.. Inputs(5).Take(4), new("table", integers.Select((value, i) => value * scales[i / width]).ToArray(), 12, width), new("projection", projection, 2, width)];
        Feed[] scaled = [.. floats.Take(4), new("table", bytes, 12, width + 4), floats[5]];
        using OperatorSession first = Open(floats), second = Open(scaled, NodeAttribute.String("table_type", "int8"));
        Assert.Equal(first.Run(floats), second.Run(scaled));
    }

    [Fact]
    public void Tables_of_another_type_than_the_attribute_says_are_named()
    {
        Feed[] inputs = Inputs(5), bytes = [.. Inputs(5).Select(feed => feed.Name == "table" ? new Feed("table", new byte[12 * 5], 12, 5) : feed)];
        Feed[] narrow = [.. Inputs(5).Select(feed => feed.Name == "table" ? new Feed("table", new byte[12 * 4], 12, 4) : feed)];
        Feed[] wide = [.. Inputs(5).Select(feed => feed.Name == "table" ? new Feed("table", new float[12 * 5], 12, 5) : feed)];
        Expect(bytes, [], "input 4 (table) is uint8, expected float32 or bfloat16");
        Expect(wide, [NodeAttribute.String("table_type", "int8")], "input 4 (table) is float32, expected uint8");
        Expect(narrow, [NodeAttribute.String("table_type", "int8")], "input 4 (table) has shape [12, 4], expected rows of at least 5 bytes");
        OnnxRuntimeException unknown = Assert.Throws<OnnxRuntimeException>(() => Open(inputs, NodeAttribute.String("table_type", "int4")).Dispose());
        Assert.Contains("attribute table_type is 'int4', expected 'int8' or none", unknown.Message, StringComparison.Ordinal);

        static void Expect(Feed[] inputs, AttributeProto[] attributes, string expected)
        {
            using OperatorSession session = Open(inputs, attributes);
            OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => session.Run(inputs));
            Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        }
    }

    private static OperatorSession Open(Feed[] inputs, params AttributeProto[] more) => new("NGramEmbedding", inputs, [("embedding", ElementType.Float)], [.. s_attributes, .. more]);

    private static Feed[] Inputs(long token) =>
    [
        new("input_ids", new[] { token }, 1), new("query_start", new[] { 0, 1 }, 2), new("ngram_context", new[] { 3L }, 1, 1),
        new("word", Enumerable.Range(0, 16).Select(i => (10f * (i / 2)) + (i % 2)).ToArray(), 8, 2),
        new("table", Enumerable.Range(0, 12).Select(i => (float)i).ToArray(), 12, 1),
        new("projection", new ushort[] { 0x4000, 0xBF80 }, 2, 1),
    ];
}

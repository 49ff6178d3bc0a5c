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

    private static OperatorSession Open(Feed[] inputs) => new("NGramEmbedding", inputs, [("embedding", ElementType.Float)], s_attributes);

    private static Feed[] Inputs(long token) =>
    [
        new("input_ids", new[] { token }, 1), new("query_start", new[] { 0, 1 }, 2), new("ngram_context", new[] { 3L }, 1, 1),
        new("word", Enumerable.Range(0, 16).Select(i => (10f * (i / 2)) + (i % 2)).ToArray(), 8, 2),
        new("table", Enumerable.Range(0, 12).Select(i => (float)i).ToArray(), 12, 1),
        new("projection", new ushort[] { 0x4000, 0xBF80 }, 2, 1),
    ];
}

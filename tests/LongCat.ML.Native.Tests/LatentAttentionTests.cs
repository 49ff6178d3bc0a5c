using LongCat.ML.Onnx;
using LongCat.ML.Onnx.Messages;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Native.Tests;

/// <summary>The cache across the border of ONNX Runtime: written in place where input and output are one buffer, copied where they are not.</summary>
public sealed unsafe class LatentAttentionTests
{
    private const int Heads = 2, Nope = 4, Rope = 4, Value = 4, Rank = 8, Pages = 3, Page = 4, Width = Rank + Rope;

    private static readonly AttributeProto[] s_attributes =
    [
        NodeAttribute.Int("num_heads", Heads), NodeAttribute.Int("qk_nope_head_dim", Nope), NodeAttribute.Int("qk_rope_head_dim", Rope),
        NodeAttribute.Int("v_head_dim", Value), NodeAttribute.Int("kv_lora_rank", Rank), NodeAttribute.Float("epsilon", 1e-6),
        NodeAttribute.Float("query_scale", 1), NodeAttribute.Float("latent_scale", 2), NodeAttribute.Float("softmax_scale", 0.35),
        NodeAttribute.Float("rope_multiplier", 1), NodeAttribute.String("pattern", "full"),
    ];

    [Fact]
    public void One_buffer_bound_twice_is_written_in_place()
    {
        Feed[] inputs = Inputs();
        using OperatorSession session = Open(inputs);
        using OrtIoBinding binding = session.Session.CreateIoBinding();
        float[] pool = Fill(Pages * Page * Width, 7);
        float[] before = [.. pool];
        using OrtValue cache = OrtValue.CreateTensorValueFromMemory(pool, [Pages, Page, Width]);
        float* address = (float*)System.Runtime.CompilerServices.Unsafe.AsPointer(ref cache.GetTensorMutableDataAsSpan<float>()[0]);

        IReadOnlyList<OrtValue> results = Run(session, binding, inputs, cache, cache);

        Assert.True(address == (float*)System.Runtime.CompilerServices.Unsafe.AsPointer(ref results[1].GetTensorMutableDataAsSpan<float>()[0]));
        AssertLines(before, pool);
    }

    [Fact]
    public void Two_buffers_leave_the_input_alone_and_give_the_same()
    {
        Feed[] inputs = Inputs();
        using OperatorSession session = Open(inputs);
        float[] pool = Fill(Pages * Page * Width, 7), output = new float[pool.Length];
        float[] before = [.. pool];
        using OrtValue cache = OrtValue.CreateTensorValueFromMemory(pool, [Pages, Page, Width]);
        using OrtValue other = OrtValue.CreateTensorValueFromMemory(output, [Pages, Page, Width]);
        using OrtIoBinding binding = session.Session.CreateIoBinding();
        float[] copied = Run(session, binding, inputs, cache, other)[0].GetTensorDataAsSpan<float>().ToArray();
        Assert.Equal(before, pool);
        AssertLines(before, output);

        using OrtIoBinding again = session.Session.CreateIoBinding();
        float[] inPlace = Run(session, again, inputs, cache, cache)[0].GetTensorDataAsSpan<float>().ToArray();
        Assert.Equal(copied, inPlace);
        Assert.Equal(output, pool);
    }

    [Fact]
    public void A_bfloat16_cache_gives_a_bfloat16_cache()
    {
        Feed[] inputs = [.. Inputs()[..9], new("cache", new ushort[Pages * Page * Width], Pages, Page, Width)];
        using OperatorSession session = new("LatentAttention", inputs, [("output", ElementType.Float), ("cache_out", ElementType.Bfloat16)], s_attributes);
        Assert.Equal(TensorElementType.BFloat16, (TensorElementType)session.Session.OutputMetadata["cache_out"].ElementDataType);
        Assert.All(session.Run(inputs), value => Assert.True(float.IsFinite(value)));
    }

    [Fact]
    public void An_int8_cache_is_uint8_and_near_the_float_one()
    {
        Feed[] inputs = [.. Inputs()[..9], new("cache", new float[Pages * Page * Width], Pages, Page, Width)];
        using OperatorSession floats = Open(inputs);
        float[] expected = floats.Run(inputs);
        inputs[9] = new("cache", new byte[Pages * Page * (Width + 8)], Pages, Page, Width + 8);
        using OperatorSession session = new("LatentAttention", inputs, [("output", ElementType.Float), ("cache_out", ElementType.Uint8)], s_attributes);
        Assert.Equal(TensorElementType.UInt8, (TensorElementType)session.Session.OutputMetadata["cache_out"].ElementDataType);
        float[] actual = session.Run(inputs);

        // An integer is within half a step of 1 / 127 of its row's largest value (a few units: the latents are normed), and kv_b adds eight of them.
        Assert.All(expected.Zip(actual), pair => Assert.InRange(pair.Second, pair.First - 0.1f, pair.First + 0.1f));
        Assert.NotEqual(expected, actual);
        inputs[9] = new("cache", new byte[Pages * Page * Width], Pages, Page, Width);
        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => session.Run(inputs));
        Assert.Contains("input 9 (cache)", error.Message, StringComparison.Ordinal);
        Assert.Contains($"{Width + 8}", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(8, -1, "block_table[0, 1] is page -1, expected 0..2")]
    [InlineData(7, 9, "context_length[0] is 9: 3 pages of 4, but block_table has 2 columns")]
    [InlineData(5, 3, "position_ids[1] is 3, expected 4")]
    public void Bad_step_inputs_fail_the_step_and_name_the_value(int input, long value, string message)
    {
        Feed[] inputs = Inputs();
        switch (input)
        {
            case 5:
                ((long[])inputs[5].Data)[1] = value;
                break;
            case 7:
                ((int[])inputs[7].Data)[0] = (int)value;
                break;
            default:
                ((int[])inputs[8].Data)[1] = (int)value;
                break;
        }

        using OperatorSession session = Open(inputs);
        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => session.Run(inputs));
        Assert.Contains("longcat::LatentAttention 'output': " + message, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Selected_keys_are_read_and_checked()
    {
        Feed?[] With(params int[] selected) => [.. Inputs(), null, null, new("selected", selected, selected.Length / 3, 3)];
        Feed?[] inputs = With([.. Enumerable.Range(0, ((float[])Inputs()[1].Data).Length / Width).SelectMany(_ => new[] { 0, 1, 2 })]);
        using OperatorSession session = new("LatentAttention", inputs, [("output", ElementType.Float), ("cache_out", ElementType.Float)], s_attributes);
        Assert.All(session.Run(inputs), value => Assert.True(float.IsFinite(value)));
        ((int[])inputs[12]!.Data)[1] = 0;
        Assert.Contains("longcat::LatentAttention 'output': selected[0, 1] is 0: expected positions in ascending order", Assert.Throws<OnnxRuntimeException>(() => session.Run(inputs)).Message, StringComparison.Ordinal);
        inputs[12] = new("selected", new int[33], 11, 3);
        Assert.Contains("input 12 (selected)", Assert.Throws<OnnxRuntimeException>(() => session.Run(inputs)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("sliding", null, null, null, "attribute pattern is 'sliding', expected 'full' or 'streaming'")]
    [InlineData("full", 128, null, null, "attribute block_size is 128 with pattern 'full', expected none")]
    [InlineData("full", null, null, 7, "attribute local_blocks is 7 with pattern 'full'")]
    [InlineData("streaming", null, 1, 7, "attribute block_size is missing")]
    [InlineData("streaming", 128, null, 7, "attribute sink_blocks is missing")]
    [InlineData("streaming", 128, 1, null, "attribute local_blocks is missing")]
    [InlineData("streaming", 0, 1, 7, "attribute block_size is 0, expected 1..")]
    [InlineData("streaming", 128, -1, 7, "attribute sink_blocks is -1, expected 0..")]
    [InlineData("streaming", 128, 1, 0, "attribute local_blocks is 0, expected 1..")]
    public void A_bad_pattern_fails_the_session_and_names_the_value(string pattern, int? block, int? sinks, int? local, string message)
    {
        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => Open(Inputs(), Patterned(pattern, block, sinks, local)).Dispose());
        Assert.Contains("longcat::LatentAttention 'output': " + message, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Streaming_reads_no_page_that_nothing_sees()
    {
        Feed[] inputs = Inputs();
        inputs.Single(input => input.Name == "block_table").Data.SetValue(-1, 0);
        inputs.Single(input => input.Name == "position_ids").Data.SetValue(4L, 0);
        inputs.Single(input => input.Name == "position_ids").Data.SetValue(5L, 1);
        inputs.Single(input => input.Name == "context_length").Data.SetValue(6, 0);
        using OperatorSession streaming = Open(inputs, Patterned("streaming", 4, 0, 1));
        Assert.All(streaming.Run(inputs), value => Assert.True(float.IsFinite(value)));
        using OperatorSession sink = Open(inputs, Patterned("streaming", 4, 1, 1));
        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => sink.Run(inputs));
        Assert.Contains("longcat::LatentAttention 'output': block_table[0, 0] is page -1, expected 0..2", error.Message, StringComparison.Ordinal);
    }

    private static AttributeProto[] Patterned(string pattern, int? block, int? sinks, int? local) =>
    [
        .. s_attributes.Where(attribute => attribute.Name != "pattern"), NodeAttribute.String("pattern", pattern),
        .. new[] { ("block_size", block), ("sink_blocks", sinks), ("local_blocks", local) }.Where(pair => pair.Item2 is not null).Select(pair => NodeAttribute.Int(pair.Item1, pair.Item2!.Value)),
    ];

    private static OperatorSession Open(Feed[] inputs) => Open(inputs, s_attributes);

    private static OperatorSession Open(Feed[] inputs, AttributeProto[] attributes) =>
        new("LatentAttention", inputs, [("output", ElementType.Float), ("cache_out", ElementType.Float)], attributes);

    // One sequence: three tokens are in the cache, two come now; its pages are 2 and 0.
    private static Feed[] Inputs() =>
    [
        new("query", Fill(2 * Heads * (Nope + Rope), 1), 2, Heads * (Nope + Rope)),
        new("latent", Fill(2 * Width, 2), 2, Width),
        new("latent_norm", Fill(Rank, 3), Rank),
        new("kv_b", Fill(Heads * (Nope + Value) * Rank, 4), Heads * (Nope + Value), Rank),
        new("inv_freq", new float[] { 1, 0.01f }, Rope / 2),
        new("position_ids", new long[] { 3, 4 }, 2),
        new("query_start", new[] { 0, 2 }, 2),
        new("context_length", new[] { 5 }, 1),
        new("block_table", new[] { 2, 0 }, 1, 2),
        new("cache", Fill(Pages * Page * Width, 7), Pages, Page, Width),
    ];

    private static IReadOnlyList<OrtValue> Run(OperatorSession session, OrtIoBinding binding, Feed[] inputs, OrtValue cache, OrtValue cacheOut)
    {
        List<OrtValue> held = [];
        foreach (Feed input in inputs[..9])
        {
            OrtValue value = input.ToValue();
            held.Add(value);
            binding.BindInput(input.Name, value);
        }

        binding.BindInput("cache", cache);
        binding.BindOutputToDevice("output", OrtMemoryInfo.DefaultInstance);
        binding.BindOutput("cache_out", cacheOut);
        using RunOptions options = new();
        session.Session.RunWithBinding(options, binding);
        held.ForEach(value => value.Dispose());
        return [.. binding.GetOutputValues()];
    }

    // Positions 3 and 4 lie in page 2, slot 3 and page 0, slot 0; nothing else may change.
    private static void AssertLines(float[] before, float[] after)
    {
        for (int line = 0; line < Pages * Page; line++)
        {
            bool written = line is (2 * Page) + 3 or 0;
            Assert.Equal(!written, before.AsSpan(line * Width, Width).SequenceEqual(after.AsSpan(line * Width, Width)));
        }
    }

    private static float[] Fill(int count, int seed)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() * 2) - 1)];
    }
}

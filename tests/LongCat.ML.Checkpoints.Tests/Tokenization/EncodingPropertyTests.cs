using System.Text;
using Microsoft.ML.Tokenizers;

namespace LongCat.ML.Checkpoints.Tests.Tokenization;

/// <summary>Over random text with fixed seeds.</summary>
public sealed class EncodingPropertyTests
{
    private static readonly string[] s_merges = ["Ġ a", "Ã ©", "ð Ł", "ðŁ ĺ", "Ì ģ", "e s", "ê °", "ä ¸"];

    private static readonly HuggingFaceTokenizer s_plain = SampleTokenizer.Json(s_merges).WithSplit(SampleTokenizer.Qwen2Pattern).Load();

    private static readonly HuggingFaceTokenizer s_normalizing = SampleTokenizer.Json(s_merges).WithSplit(SampleTokenizer.Qwen2Pattern)
        .With("normalizer", """{"type":"NFC"}""")
        .With("added_tokens", """[{"id":500,"content":"<s>","special":true},{"id":501,"content":"</s>","special":true}]""")
        .With("post_processor", """
            {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
             "special_tokens":{"<s>":{"id":"<s>","ids":[500],"tokens":["<s>"]}}}
            """).Load();

    [Fact]
    public void Decoding_undoes_encoding()
    {
        Random random = new(1);
        for (int round = 0; round < 500; round++)
        {
            string text = SampleTokenizer.RandomText(random, random.Next(1, 80));
            Assert.Equal(text, s_plain.Decode(s_plain.Encode(text)));
            Assert.Equal(s_normalizing.Normalizer!.Normalize(text), s_normalizing.Decode(s_normalizing.Encode(text), skipSpecialTokens: true));
        }
    }

    [Fact]
    public void Lone_surrogates_never_fail_and_read_as_replacement_characters()
    {
        Random random = new(2);
        foreach (HuggingFaceTokenizer tokenizer in new[] { s_plain, s_normalizing })
        {
            for (int round = 0; round < 300; round++)
            {
                string text = SampleTokenizer.RandomText(random, random.Next(1, 60), loneSurrogates: true);
                string readable = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
                Assert.Equal(tokenizer.Encode(readable), tokenizer.Encode(text));
                Assert.Equal(tokenizer.Encode(text), tokenizer.EncodeToTokens(text, out _).Select(token => token.Id));
            }
        }
    }

    [Fact]
    public void Streaming_gives_the_same_text_in_whole_characters()
    {
        Random random = new(3);
        for (int round = 0; round < 500; round++)
        {
            // Random ids, so that broken sequences of every kind occur.
            int[] ids = [.. Enumerable.Range(0, random.Next(1, 40)).Select(_ => random.Next(-1, s_plain.VocabularySize + 2))];
            StreamingDecoder decoder = s_plain.CreateStreamingDecoder();
            StringBuilder text = new();
            foreach (int id in ids)
            {
                string part = decoder.Append(id);
                Assert.False(part.Length > 0 && (char.IsLowSurrogate(part[0]) || char.IsHighSurrogate(part[^1])));
                text.Append(part);
            }

            text.Append(decoder.Flush());
            Assert.Equal(s_plain.Decode(ids), text.ToString());
        }
    }

    [Fact]
    public void Decoding_into_small_buffers_goes_on_where_it_stopped()
    {
        Random random = new(4);
        for (int round = 0; round < 200; round++)
        {
            string text = SampleTokenizer.RandomText(random, random.Next(1, 60));
            List<int> ids = [.. s_plain.Encode(text)];
            StringBuilder result = new();
            char[] buffer = new char[random.Next(2, 12)];
            while (true)
            {
                System.Buffers.OperationStatus status = s_plain.Decode(ids, buffer, out int consumed, out int written);
                result.Append(buffer, 0, written);
                ids.RemoveRange(0, consumed);
                if (status == System.Buffers.OperationStatus.Done)
                {
                    break;
                }

                Assert.True(consumed > 0);
            }

            Assert.Equal((text, 0), (result.ToString(), ids.Count));
        }
    }

    [Fact]
    public void Offsets_cover_the_text_in_order_and_limits_end_between_characters()
    {
        Random random = new(5);
        foreach (HuggingFaceTokenizer tokenizer in new[] { s_plain, s_normalizing })
        {
            for (int round = 0; round < 300; round++)
            {
                string text = SampleTokenizer.RandomText(random, random.Next(1, 60));
                IReadOnlyList<EncodedToken> tokens = tokenizer.EncodeToTokens(text, out string? normalized);
                string whole = normalized ?? text;
                Assert.Equal(tokenizer.Normalizer is null, normalized is null);
                int end = 0;
                foreach (EncodedToken token in tokens)
                {
                    Assert.True(token.Offset.Start.Value <= end && token.Offset.End.Value >= end);
                    end = token.Offset.End.Value;
                    Assert.Equal(tokenizer.IdToToken(token.Id), token.Value);
                }

                Assert.Equal(whole.Length, end);

                int limit = random.Next(1, tokens.Count + 2);
                IReadOnlyList<int> cut = tokenizer.EncodeToIds(text, limit, out string? cutNormalized, out int consumed);
                Assert.Equal(normalized, cutNormalized);
                Assert.Equal(whole[..consumed], tokenizer.Decode(cut, skipSpecialTokens: true));
                Assert.InRange(limit - cut.Count, limit > tokens.Count ? 1 : 0, 3);
                int index = tokenizer.GetIndexByTokenCount(text, limit, out _, out int count);
                Assert.Equal((consumed, cut.Count), (index, count));

                int fromEnd = tokenizer.GetIndexByTokenCountFromEnd(text, limit, out _, out count);
                Assert.Equal(whole[fromEnd..], tokenizer.Decode([.. tokens.Skip(tokens.Count - count).Select(token => token.Id)], skipSpecialTokens: true));
                Assert.True(count <= limit);
            }
        }
    }

    [Fact]
    public void Switches_of_the_base_type_are_honoured()
    {
        Assert.NotEqual(s_normalizing.EncodeToIds("e\u0301"), s_normalizing.EncodeToIds("e\u0301", considerNormalization: false));
        HuggingFaceTokenizer joined = SampleTokenizer.Json("a Ġ").Load();
        Assert.Equal(['a', ' ', 'b'], [.. joined.EncodeToIds("a b")]);
        Assert.Equal([256, 'b'], [.. joined.EncodeToIds("a b", considerPreTokenization: false)]);
        Assert.Throws<ArgumentOutOfRangeException>(() => s_plain.GetIndexByTokenCount("a", 0, out _, out _));
    }
}

using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.ML.Tokenizers;
using Xunit.Abstractions;

namespace LongCat.ML.Checkpoints.Tests.Tokenization;

/// <summary>Tokenizers of the Llama 2 and Mistral kind against a slow second implementation, over random texts and ids with fixed seeds.</summary>
public sealed class CharacterTokenizerTests(ITestOutputHelper output)
{
    private static readonly JsonObject s_json = CharacterTokenizer.Json();
    private static readonly HashSet<string> s_vocabulary = [.. s_json["model"]!["vocab"]!.AsObject().Select(entry => entry.Key)];
    private static readonly HuggingFaceTokenizer s_llama = s_json.Load();

    [Fact]
    public void Ids_equal_those_of_the_slow_implementation()
    {
        Random random = new(11);
        for (int round = 0; round < 1000; round++)
        {
            string text = CharacterTokenizer.RandomText(random, random.Next(0, 60));
            string normalized = text.Length == 0 ? string.Empty : "▁" + text.Replace(' ', '▁');
            Assert.Equal(["<s>", .. CharacterTokenizer.SlowEncode(normalized, true, s_vocabulary)], Tokens(s_llama, text));
        }
    }

    [Theory]
    [InlineData("first", false)]
    [InlineData("first", true)]
    [InlineData("always", true)]
    [InlineData("never", true)]
    [InlineData("never", false)]
    public void Metaspace_prepends_and_splits(string scheme, bool split)
    {
        HuggingFaceTokenizer tokenizer = CharacterTokenizer.Json().With("normalizer", "null").With("post_processor", "null")
            .With("pre_tokenizer", $$"""{"type":"Metaspace","replacement":"▁","prepend_scheme":"{{scheme}}","split":{{(split ? "true" : "false")}}}""").Load();
        Random random = new(12);
        for (int round = 0; round < 500; round++)
        {
            string text = CharacterTokenizer.RandomText(random, random.Next(1, 50)), other = CharacterTokenizer.RandomText(random, random.Next(1, 20));
            List<string> expected = [.. Pieces(text, first: true), "</s>", .. Pieces(other, first: false)];
            Assert.Equal(expected, Tokens(tokenizer, text + "</s>" + other));
        }

        List<string> Pieces(string text, bool first)
        {
            string spaced = text.Replace(' ', '▁');
            spaced = !spaced.StartsWith('▁') && (scheme == "always" || (scheme == "first" && first)) ? "▁" + spaced : spaced;
            List<string> pieces = [];
            foreach (char c in spaced)
            {
                if (pieces.Count == 0 || (split && c == '▁'))
                {
                    pieces.Add(string.Empty);
                }

                pieces[^1] += c;
            }

            return [.. pieces.SelectMany(piece => CharacterTokenizer.SlowEncode(piece, true, s_vocabulary))];
        }
    }

    [Fact]
    public void Decoding_undoes_encoding()
    {
        Random random = new(13);
        HuggingFaceTokenizer mistral = CharacterTokenizer.Json().With("normalizer", "null")
            .With("pre_tokenizer", """{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":false}""").Load();
        for (int round = 0; round < 1000; round++)
        {
            // The character that stands for a space reads as one, so it is left out here.
            string text = (CharacterTokenizer.RandomText(random, random.Next(0, 40)) + SampleTokenizer.RandomText(random, random.Next(0, 20))).Replace('▁', '_');
            Assert.Equal(text, s_llama.Decode(s_llama.Encode(text), skipSpecialTokens: true));

            // Metaspace puts nothing before a text that starts with a space, so the decoder takes that space away.
            Assert.Equal(text.StartsWith(' ') ? text[1..] : text, mistral.Decode(mistral.Encode(text), skipSpecialTokens: true));
        }
    }

    [Fact]
    public void Random_ids_decode_as_in_the_slow_implementation_whole_and_streamed()
    {
        Random random = new(14);
        for (int round = 0; round < 2000; round++)
        {
            // Mostly bytes, so that characters are complete, cut in half and mixed with what is none.
            int[] ids = [.. Enumerable.Range(0, random.Next(0, 30)).Select(_ => random.Next(4) == 0 ? random.Next(-1, s_llama.VocabularySize + 2) : random.Next(0x80 + 3, 259))];
            if (random.Next(2) == 0)
            {
                ids = [.. ids, .. s_llama.Encode(CharacterTokenizer.RandomText(random, 20), addSpecialTokens: false)];
                ids = ids[random.Next(4)..^random.Next(4)];
            }

            string expected = CharacterTokenizer.SlowDecode(ids.Select(s_llama.IdToToken).OfType<string>());
            Assert.Equal(expected, s_llama.Decode(ids));

            StreamingDecoder decoder = s_llama.CreateStreamingDecoder();
            for (int again = 0; again < 2; again++)
            {
                StringBuilder text = new();
                foreach (int id in ids)
                {
                    string part = decoder.Append(id);
                    Assert.False(part.Length > 0 && (char.IsLowSurrogate(part[0]) || char.IsHighSurrogate(part[^1])));
                    text.Append(part);
                }

                Assert.Equal(expected, text.Append(decoder.Flush()).ToString());
            }

            char[] buffer = new char[expected.Length];
            Assert.Equal(System.Buffers.OperationStatus.Done, s_llama.Decode(ids, buffer, out int consumed, out int written));
            Assert.Equal((ids.Length, expected), (consumed, new string(buffer, 0, written)));
        }
    }

    [Theory]
    [InlineData(true, new[] { 0, 4, 0 })]
    [InlineData(false, new[] { 0, 0, 4, 0 })]
    public void Unknown_characters_fuse_where_the_file_says_so(bool fuse, int[] expected)
    {
        HuggingFaceTokenizer tokenizer = CharacterTokenizer.Json(byteFallback: false, fuse).With("normalizer", "null").Load();
        Assert.Equal(expected, tokenizer.Encode("ÄÖaÜ", addSpecialTokens: false));
        Assert.Equal(new Range[] { 0..(fuse ? 2 : 1) }, tokenizer.EncodeToTokens("ÄÖaÜ", out _).Skip(1).Take(1).Select(token => token.Offset));
        Random random = new(15);
        for (int round = 0; round < 300; round++)
        {
            string text = CharacterTokenizer.RandomText(random, random.Next(1, 40));
            Assert.Equal(CharacterTokenizer.SlowEncode(text, fuse, new HashSet<string>(s_vocabulary.Where(token => !(token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal))))), Tokens(tokenizer, text)[1..]);
        }
    }

    [Fact]
    public void Characters_without_any_token_vanish_and_their_neighbours_merge()
    {
        JsonObject json = CharacterTokenizer.Json(byteFallback: false).With("normalizer", "null").With("post_processor", "null");
        json["model"]!.AsObject().Remove("unk_token");
        HuggingFaceTokenizer tokenizer = json.Load();
        Assert.Equal(["ab"], Tokens(tokenizer, "aÖb"));
        Assert.Empty(tokenizer.Encode("ÖÖ"));
        Assert.Equal(0..3, Assert.Single(tokenizer.EncodeToTokens("aÖb", out _)).Offset);
    }

    [Theory]
    [InlineData("""{"type":"Metaspace","replacement":"▁","prepend_scheme":"always"}""", "the ing")]
    [InlineData("""{"type":"Metaspace","replacement":"▁","add_prefix_space":false}""", " the ing")]
    [InlineData("""{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"Regex":"▁|t"},"content":"-"},{"type":"Fuse"},{"type":"Strip","content":"g","start":0,"stop":2}]}""", "--he-in")]
    [InlineData("""{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Replace","pattern":{"String":"e▁in"},"content":"!"},{"type":"Strip","content":"▁","start":2,"stop":0}]}""", "th!g")]
    [InlineData("null", "▁the ▁in g")]
    public void Decoders_are_read_from_the_file(string decoder, string expected)
    {
        HuggingFaceTokenizer tokenizer = CharacterTokenizer.Json().With("decoder", decoder).Load();
        string[] tokens = ["▁the", "▁in", "g"];
        Assert.Equal(expected, tokenizer.Decode(tokens.Select(token => tokenizer.TokenToId(token)!.Value)));
    }

    [Fact]
    public void Offsets_cover_the_text_in_order()
    {
        Random random = new(16);
        HuggingFaceTokenizer metaspace = CharacterTokenizer.Json().With("normalizer", "null").With("pre_tokenizer", """{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":true}""").Load();
        foreach (HuggingFaceTokenizer tokenizer in new[] { s_llama, metaspace })
        {
            for (int round = 0; round < 300; round++)
            {
                string text = CharacterTokenizer.RandomText(random, random.Next(1, 40));
                IReadOnlyList<EncodedToken> tokens = tokenizer.EncodeToTokens(text, out string? normalized);
                int end = 0;
                foreach (EncodedToken token in tokens)
                {
                    Assert.True(token.Offset.Start.Value <= end && token.Offset.End.Value >= end);
                    end = token.Offset.End.Value;
                }

                Assert.Equal((normalized ?? text).Length, end);
                int limit = random.Next(1, tokens.Count + 2);
                Assert.Equal(tokenizer.EncodeToIds(text, limit, out _, out _), tokenizer.EncodeToIds(text).Take(tokenizer.EncodeToIds(text, limit, out _, out _).Count));
            }
        }
    }

    [Fact]
    public void A_megabyte_without_a_break_takes_seconds_not_hours()
    {
        Stopwatch clock = Stopwatch.StartNew();
        int count = s_llama.CountTokens(new string('a', 1 << 20)) + s_llama.CountTokens(string.Concat(Enumerable.Repeat("ab", 1 << 19))) + s_llama.CountTokens(new string('世', 1 << 18));
        output.WriteLine($"{count} tokens of two million characters in {clock.Elapsed.TotalSeconds:F1} s");
        Assert.InRange(count, (1 << 20) + (1 << 17) + (3 << 18), (1 << 20) + (1 << 17) + (3 << 18) + 8);
        Assert.InRange(clock.Elapsed.TotalSeconds, 0, 60);
    }

    private static List<string> Tokens(HuggingFaceTokenizer tokenizer, string text) => [.. tokenizer.Encode(text).Select(id => tokenizer.IdToToken(id)!)];
}

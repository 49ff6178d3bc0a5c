using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;
using Xunit.Abstractions;

namespace LongCat.ML.Checkpoints.Tests.Tokenization;

public sealed class BytePairEncodingTests(ITestOutputHelper output)
{
    private static readonly string[] s_merges = ["a a", "b a", "aa a", "a b", "aa aa", "ba ba", "Ġ a", "ab ab", "c aa", "aaaa aaaa"];

    [Fact]
    public void The_queue_gives_what_repeated_search_for_the_lowest_rank_gives()
    {
        HuggingFaceTokenizer tokenizer = SampleTokenizer.Json(s_merges).WithSplit(@"\n").Load();
        Random random = new(11);
        for (int round = 0; round < 400; round++)
        {
            string text = new([.. Enumerable.Range(0, random.Next(1, 200)).Select(_ => "aaabbc "[random.Next(7)])]);
            Assert.Equal(Naive(text), tokenizer.Encode(text).Select(tokenizer.IdToToken));
        }
    }

    [Fact]
    public void A_megabyte_without_a_break_takes_seconds_not_hours()
    {
        HuggingFaceTokenizer tokenizer = SampleTokenizer.Json(s_merges).WithSplit(SampleTokenizer.Qwen2Pattern).Load();
        Stopwatch watch = Stopwatch.StartNew();
        Assert.Equal((1 << 20) / 8, tokenizer.Encode(new string('a', 1 << 20)).Count);
        Assert.Equal(1 << 20, tokenizer.Encode(new string(' ', 1 << 20)).Count);
        Assert.Equal(1 << 21, tokenizer.Encode(string.Concat(Enumerable.Repeat(" \n", 1 << 20))).Count);
        output.WriteLine($"three megabytes in {watch.Elapsed.TotalSeconds:F1} s");

        // Quadratic merging would be some 10^12 steps; the bound leaves room for a busy machine.
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(90), $"took {watch.Elapsed}");
    }

    [Fact]
    public void The_cache_is_bounded_and_does_not_change_results()
    {
        HuggingFaceTokenizer tokenizer = SampleTokenizer.Json(s_merges).WithSplit(" ").Load();
        string text = string.Join(' ', Enumerable.Range(0, 90_000).Select(i => $"a{i:x}"));
        IReadOnlyList<int> first = tokenizer.Encode(text);
        Assert.InRange(tokenizer.CachedPieces, 1, 70_000);
        Assert.Equal(first, tokenizer.Encode(text));
    }

    [Fact]
    public void Threads_share_a_tokenizer()
    {
        HuggingFaceTokenizer tokenizer = SampleTokenizer.Json(s_merges).Load();
        string[] texts = [.. Enumerable.Range(0, 64).Select(seed => SampleTokenizer.RandomText(new Random(seed), 500))];
        string[] expected = [.. texts.Select(text => string.Join(',', SampleTokenizer.Json(s_merges).Load().Encode(text)))];
        Parallel.For(0, 640, i => Assert.Equal(expected[i % 64], string.Join(',', tokenizer.Encode(texts[i % 64]))));
    }

    [Fact]
    public void Merges_as_pairs_read_like_merges_as_text()
    {
        JsonObject pairs = SampleTokenizer.Json(s_merges);
        pairs["model"]!["merges"] = new JsonArray([.. s_merges.Select(merge => new JsonArray([.. merge.Split(' ').Select(part => JsonValue.Create(part))]))]);
        Assert.Equal(SampleTokenizer.Json(s_merges).Load().Encode("aaab baba c aaaaa"), pairs.Load().Encode("aaab baba c aaaaa"));
    }

    [Fact]
    public void Ignore_merges_takes_whole_pieces_from_the_vocabulary()
    {
        JsonObject json = SampleTokenizer.Json("a b");
        json["model"]!["vocab"]!["abc"] = 1000;
        Assert.Equal([256, 'c'], json.Load().Encode("abc"));
        json["model"]!["ignore_merges"] = true;
        Assert.Equal([1000], json.Load().Encode("abc"));
    }

    [Fact]
    public void A_byte_without_a_token_becomes_the_unknown_token_or_nothing()
    {
        JsonObject json = SampleTokenizer.Json("a b");
        json["model"]!["vocab"]!.AsObject().Remove("z");
        json["model"]!["vocab"]!["<unk>"] = 900;
        Assert.Equal(['a', 'b' + 0, 256], [.. json.Load().Encode("aZzbab").Where(id => id is 'a' or 'b' or 256)]);
        Assert.DoesNotContain(900, json.Load().Encode("z"));
        json["model"]!["unk_token"] = "<unk>";
        Assert.Equal([900, 256], json.Load().Encode("zab"));
    }

    private static List<string> Naive(string text)
    {
        List<string> symbols = [.. Encoding.UTF8.GetBytes(text).Select(value => ByteLevelAlphabet.Spell([value]))];
        string[] merges = [.. s_merges];
        while (true)
        {
            int best = -1, bestRank = int.MaxValue;
            for (int i = 0; i + 1 < symbols.Count; i++)
            {
                int rank = Array.IndexOf(merges, $"{symbols[i]} {symbols[i + 1]}");
                if (rank >= 0 && rank < bestRank)
                {
                    (best, bestRank) = (i, rank);
                }
            }

            if (best < 0)
            {
                return symbols;
            }

            symbols[best] += symbols[best + 1];
            symbols.RemoveAt(best + 1);
        }
    }
}

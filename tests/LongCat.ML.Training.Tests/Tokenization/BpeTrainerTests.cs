using System.Diagnostics;
using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.Training.Corpus;
using LongCat.ML.Training.Tokenization;
using Xunit.Abstractions;

namespace LongCat.ML.Training.Tests.Tokenization;

public sealed class BpeTrainerTests(ITestOutputHelper output)
{
    private static readonly BpeTrainerOptions s_plain = new()
    {
        SpecialTokens = ["<s>"], BeginOfText = "<s>", EndOfText = "<s>", Padding = null, Unknown = null, VocabularySize = 1 + 256 + 10,
    };

    [Fact]
    public void Merges_follow_frequency_and_ties_follow_ids()
    {
        // Pieces: hug x10, pug x5, pun x12, bun x4, hugs x5 (each its own text, so that no leading space joins in).
        string[] texts = [.. Repeat("hug", 10), .. Repeat("pug", 5), .. Repeat("pun", 12), .. Repeat("bun", 4), .. Repeat("hugs", 5)];
        TrainedBpe trained = BpeTrainer.Train(texts, s_plain with { VocabularySize = 1 + 256 + 3 });
        Assert.Equal([("u", "g"), ("u", "n"), ("h", "ug")], trained.Merges);
        Assert.Equal("hug", trained.Tokens[^1]);
    }

    [Fact]
    public void Repeated_letters_merge_from_the_left()
    {
        TrainedBpe trained = BpeTrainer.Train(Repeat("aaaaa", 3), s_plain with { MinimumFrequency = 3 });
        Assert.Equal([("a", "a"), ("aa", "a"), ("aa", "aaa")], trained.Merges);
    }

    [Fact]
    public void The_order_of_the_texts_does_not_matter()
    {
        string[] texts = ["the cat sat", "on the mat", "a cat that sat on a hat", "mat, cat; hat."];
        TrainedBpe one = BpeTrainer.Train(texts, s_plain);
        TrainedBpe other = BpeTrainer.Train(texts.Reverse(), s_plain);
        Assert.Equal(one.Tokens, other.Tokens);
        Assert.Equal(one.Merges, other.Merges);
    }

    [Fact]
    public void A_slow_count_of_everything_learns_the_same_merges()
    {
        Random random = new(7);
        string[] texts = [.. Enumerable.Range(0, 60).Select(_ => new string([.. Enumerable.Range(0, random.Next(1, 40)).Select(_ => "abc "[random.Next(4)])]))];
        TrainedBpe trained = BpeTrainer.Train(texts, s_plain with { VocabularySize = 1 + 256 + 40 });

        List<List<int>> words = [.. texts.SelectMany(text => System.Text.RegularExpressions.Regex.Matches(text, BpeTrainerOptions.LongcatPattern))
            .Select(match => match.Value.Select(c => trained.Tokens.ToList().IndexOf(c == ' ' ? "Ġ" : c.ToString())).ToList())];
        List<(string, string)> expected = [];
        while (expected.Count < 40)
        {
            var best = words.SelectMany(word => word.Zip(word.Skip(1))).GroupBy(pair => pair)
                .Where(group => group.Count() >= 2).OrderByDescending(group => group.Count()).ThenBy(group => group.Key).FirstOrDefault();
            if (best is null)
            {
                break;
            }

            (int left, int right) = best.Key;
            expected.Add((trained.Tokens[left], trained.Tokens[right]));
            foreach (List<int> word in words)
            {
                for (int i = 0; i + 1 < word.Count; i++)
                {
                    if (word[i] == left && word[i + 1] == right)
                    {
                        word[i] = 256 + expected.Count;
                        word.RemoveAt(i + 1);
                    }
                }
            }
        }

        Assert.Equal(expected, trained.Merges);
    }

    [Fact]
    public void The_saved_files_are_valid_and_carry_the_special_tokens_in_front()
    {
        string folder = Path.Combine(Path.GetTempPath(), $"bpe-{Guid.NewGuid():N}");
        try
        {
            TrainedBpe trained = BpeTrainer.Train(["héllo wörld héllo"], new BpeTrainerOptions { VocabularySize = 21 + 256 + 5 });
            trained.Save(folder);
            using JsonDocument tokenizer = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "tokenizer.json")));
            JsonElement model = tokenizer.RootElement.GetProperty("model");
            Assert.Equal(trained.Tokens.Count, model.GetProperty("vocab").EnumerateObject().Count());
            Assert.Equal(trained.Merges.Count, model.GetProperty("merges").GetArrayLength());
            Assert.Equal("<longcat_s>", trained.Tokens[1]);
            Assert.Equal("</longcat_s>", trained.Tokens[2]);
            Assert.Equal(21, tokenizer.RootElement.GetProperty("added_tokens").GetArrayLength());
            using JsonDocument configuration = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "tokenizer_config.json")));
            Assert.Equal("</longcat_s>", configuration.RootElement.GetProperty("eos_token").GetString());
            Assert.Equal(2, Directory.GetFiles(folder).Length);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void The_saved_tokenizer_encodes_with_the_learned_merges()
    {
        string folder = Path.Combine(Path.GetTempPath(), $"bpe-{Guid.NewGuid():N}");
        try
        {
            TrainedBpe trained = BpeTrainer.Train(Repeat("Gets the value of the collection.", 20), new BpeTrainerOptions { VocabularySize = 400 });
            trained.Save(folder);
            HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.Load(folder);

            IReadOnlyList<int> ids = tokenizer.Encode("Gets the value of 😀 the café.</longcat_s>");
            Assert.Equal(1, ids[0]);
            Assert.Equal(2, ids[^1]);
            Assert.Equal(["Gets", "Ġthe", "Ġvalue", "Ġof"], ids.Skip(1).Take(4).Select(tokenizer.IdToToken));
            Assert.Equal("Gets the value of 😀 the café.", tokenizer.Decode(ids, skipSpecialTokens: true));
            Assert.Equal(ids.Skip(1), tokenizer.Encode("Gets the value of 😀 the café.</longcat_s>", addSpecialTokens: false));
            Assert.Equal(trained.Tokens.Count, tokenizer.VocabularySize);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void Contradicting_options_are_refused()
    {
        Assert.Contains("at least 257", Assert.Throws<ArgumentException>(() => BpeTrainer.Train([], s_plain with { VocabularySize = 100 })).Message, StringComparison.Ordinal);
        Assert.Contains("`<x>`", Assert.Throws<ArgumentException>(() => BpeTrainer.Train([], s_plain with { EndOfText = "<x>" })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_whole_corpus_takes_well_under_a_minute()
    {
        CorpusSplit split = CorpusSplit.Divide(SdkDocumentation.Read(SdkDocumentation.Locate()));
        Stopwatch watch = Stopwatch.StartNew();
        TrainedBpe trained = BpeTrainer.Train(split.Train.Select(document => document.Text));
        output.WriteLine($"{split.Train.Count} documents, {trained.Tokens.Count} tokens in {watch.Elapsed.TotalSeconds:F1} s; the last: {string.Join(' ', trained.Tokens.TakeLast(20))}");
        Assert.Equal(4096, trained.Tokens.Count);
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(60), $"took {watch.Elapsed}");
    }

    private static IEnumerable<string> Repeat(string text, int count) => Enumerable.Repeat(text, count);
}

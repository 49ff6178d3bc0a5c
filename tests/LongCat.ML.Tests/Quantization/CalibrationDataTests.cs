using LongCat.ML.Calibration;
using LongCat.ML.Checkpoints;
using LongCat.ML.Tests.Fakes;
using LongCat.ML.TestShared;
using Microsoft.ML;

namespace LongCat.ML.Tests.Quantization;

/// <summary>Which rows a calibration reads, how they are cut, and what it says of those it does not read.</summary>
public sealed class CalibrationDataTests : IDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly string checkpoint;
    private readonly ModelConfig config;

    public CalibrationDataTests()
    {
        checkpoint = RandomDecoder.Write(folder["checkpoint"], new RandomDecoderOptions { Tokenizer = true });
        config = ModelConfig.Load(checkpoint);
    }

    public void Dispose() => folder.Dispose();

    [Fact]
    public void Short_rows_stay_long_ones_are_cut_and_what_gives_nothing_is_counted()
    {
        string?[] texts = ["a", new string('x', 50), null, "", "  \n", "a", "bc", new string('y', 500), "bc"];
        (IReadOnlyList<IReadOnlyList<int>> sequences, CalibrationSummary summary) = Draw(CalibrationData.FromTexts(texts, sampleTokens: 20));
        HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.Load(checkpoint);
        Assert.Equal([tokenizer.Encode("a"), tokenizer.Encode(new string('x', 50)).Take(20), tokenizer.Encode("bc"), tokenizer.Encode(new string('y', 500)).Take(20)], sequences);
        Assert.Equal(
            new CalibrationSummary { Rows = 9, Samples = 4, Tokens = sequences.Sum(sequence => sequence.Count), Cut = 2, Duplicates = 2, Unusable = 3, FirstUnusable = "the texts, row 3: there is no text" },
            summary);
    }

    [Fact]
    public void The_model_s_longest_context_is_the_most_of_a_row()
    {
        (IReadOnlyList<IReadOnlyList<int>> sequences, _) = Draw(CalibrationData.FromTexts([new string('x', 5000)], sampleTokens: 100_000));
        Assert.Equal(config.MaxPositions, Assert.Single(sequences).Count);
    }

    [Fact]
    public void A_seed_draws_the_same_rows_again_each_with_the_same_chance_and_in_their_order()
    {
        string[] texts = [.. Enumerable.Range(0, 40).Select(i => $"{(char)('A' + i)}")];
        HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.Load(checkpoint);
        int[] drawn = new int[texts.Length];
        for (ulong seed = 0; seed < 100; seed++)
        {
            int[] letters = [.. Draw(CalibrationData.FromTexts(texts, samples: 10), seed).Sequences.Select(ids => Array.FindIndex(texts, text => tokenizer.Encode(text).SequenceEqual(ids)))];
            Assert.Equal(10, letters.Length);
            Assert.Equal(letters.Order(), letters);
            foreach (int letter in letters)
            {
                drawn[letter]++;
            }
        }

        // 100 draws of 10 out of 40: 25 of each, standard deviation 4.3. Four of them; the seeds are fixed.
        Assert.All(drawn, count => Assert.InRange(count, 8, 42));
        Assert.Equal(Draw(CalibrationData.FromTexts(texts, samples: 10), 7).Sequences, Draw(CalibrationData.FromTexts(texts, samples: 10), 7).Sequences);
    }

    [Fact]
    public void A_file_s_rows_are_read_and_its_bad_lines_counted_with_the_first_reason()
    {
        string path = folder["rows.jsonl"];
        File.WriteAllLines(path, ["{\"text\":\"one\"}", "", "{\"text\":", "{\"text\":7}", "[1]", "{\"other\":\"x\"}", "{\"text\":\"two\",\"other\":1}", "{\"text\":\"\\ud800\"}"]);
        (IReadOnlyList<IReadOnlyList<int>> sequences, CalibrationSummary summary) = Draw(CalibrationData.FromJsonLines(path));
        Assert.Equal(2, sequences.Count);
        Assert.Equal((7L, 5L), (summary.Rows, summary.Unusable));
        Assert.StartsWith($"{path}, line 3: the line is no JSON", summary.FirstUnusable, StringComparison.Ordinal);
        Assert.Single(Draw(CalibrationData.FromJsonLines(path, "other")).Sequences);
    }

    [Theory]
    [InlineData("", "there is no row to calibrate with")]
    [InlineData("\n\n", "there is no row to calibrate with")]
    [InlineData("text,label\nhello,1\n", "none of 2 rows can be used to calibrate. The first: ")]
    [InlineData("{\"body\":\"hello\"}\n", "there is no field 'text'; its fields are: 'body'")]
    [InlineData("{\"text\":null}\n{\"text\":\"  \"}\n", "line 1: the field 'text' is a JSON null, expected a string")]
    public void A_file_without_a_usable_row_is_one_error_that_says_why(string content, string expected)
    {
        string path = folder["rows.jsonl"];
        File.WriteAllText(path, content);
        InvalidDataException exception = Assert.Throws<InvalidDataException>(() => Draw(CalibrationData.FromJsonLines(path)));
        Assert.Contains(expected, exception.Message, StringComparison.Ordinal);
        Assert.Contains(path, exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_view_s_text_column_gives_its_rows_and_any_other_is_refused()
    {
        var context = new MLContext();
        IDataView data = context.Data.LoadFromEnumerable(new[] { new TextRow { Text = "one" }, new TextRow(), new TextRow { Text = "two" } });
        (IReadOnlyList<IReadOnlyList<int>> sequences, CalibrationSummary summary) = Draw(CalibrationData.FromColumn(data));
        Assert.Equal((2, 3L, 1L, "the column 'Text', row 2: there is no text"), (sequences.Count, summary.Rows, summary.Unusable, summary.FirstUnusable));
        Assert.Contains("'Body'", Assert.Throws<ArgumentOutOfRangeException>(() => CalibrationData.FromColumn(data, "Body")).Message, StringComparison.Ordinal);
        Assert.Contains("'Id'", Assert.Throws<ArgumentOutOfRangeException>(() => CalibrationData.FromColumn(data, "Id")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Random_tokens_are_ordinary_ones_behind_the_begin_token_and_follow_the_seed()
    {
        CalibrationData data = CalibrationData.RandomTokens(samples: 50, sampleTokens: 40);
        (IReadOnlyList<IReadOnlyList<int>> sequences, CalibrationSummary summary) = Draw(data, 5);
        HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.Load(checkpoint);
        Assert.True(data.DataFree && summary.DataFree);
        Assert.Equal((50, 2000L), (summary.Samples, summary.Tokens));
        Assert.All(sequences, sequence => Assert.Equal(config.BosTokenId, sequence[0]));
        Assert.All(sequences.SelectMany(sequence => sequence.Skip(1)), id => Assert.False(tokenizer.IsSpecial(id) || id == config.BosTokenId || config.EosTokenIds.Contains(id)));
        Assert.True(sequences.SelectMany(sequence => sequence).Distinct().Count() > 240);
        Assert.Equal(sequences, Draw(data, 5).Sequences);
        Assert.NotEqual(sequences, Draw(data, 6).Sequences);

        // The numbers of the generator's paper for seed 0: what a seed draws is part of what "the same bytes" means.
        Assert.Equal((long)(0xE220A8397B1DCDAFul >> 2), new SeededDraws(0).Next(1L << 62));
    }

    [Fact]
    public void Rows_of_text_need_a_tokenizer_and_random_tokens_do_not()
    {
        File.Delete(Path.Combine(checkpoint, "tokenizer.json"));
        CheckpointException exception = Assert.Throws<CheckpointException>(() => Draw(CalibrationData.FromTexts(["a"])));
        Assert.Contains("tokenizer.json", exception.Message, StringComparison.Ordinal);
        Assert.Contains("data-free", exception.Message, StringComparison.Ordinal);
        Assert.Single(Draw(CalibrationData.RandomTokens(1, 4)).Sequences);
    }

    [Fact]
    public void Wrong_numbers_and_files_are_refused_at_once()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => CalibrationData.RandomTokens(samples: 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => CalibrationData.FromTexts([], sampleTokens: 0));
        Assert.Throws<FileNotFoundException>(() => CalibrationData.FromJsonLines(folder["none.jsonl"]));
        Assert.Contains("is a folder", Assert.Throws<FileNotFoundException>(() => CalibrationData.FromJsonLines(folder.Path)).Message, StringComparison.Ordinal);
    }

    private (IReadOnlyList<IReadOnlyList<int>> Sequences, CalibrationSummary Summary) Draw(CalibrationData data, ulong seed = 0) =>
        CalibrationSampler.Draw(data, checkpoint, config, seed, CancellationToken.None);
}

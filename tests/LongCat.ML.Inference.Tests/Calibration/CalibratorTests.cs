using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Calibration;
using LongCat.ML.Inference.Sessions;
using LongCat.ML.Onnx;
using LongCat.ML.Quantization;
using LongCat.ML.TestShared;

namespace LongCat.ML.Inference.Tests.Calibration;

/// <summary>What a calibration adds up over packed steps with caches equals what whole sequences give one by one.</summary>
public sealed class CalibratorTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    // More tokens than a step: sequences share steps, and two of them continue in the next.
    private static readonly int[] s_lengths = [1, 5, 200, 256, 0, 250, 3, 120];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("Llama")]
    [InlineData("Qwen3-MoE")]
    [InlineData("Lite")]
    [InlineData("Llama, streaming")]
    [InlineData("Lite, streaming")]
    public void Statistics_equal_those_of_whole_sequences(string name)
    {
        ExportResult probe = Export(name);
        int[][] sequences = Sequences();
        using CalibrationResult statistics = Calibrator.Collect(probe.Folder, probe.Sites, sequences, new CalibrationOptions { Gram = true });
        Assert.Equal((s_lengths.Sum(), 1, false), ((int)statistics.Tokens, statistics.Passes, statistics.DataFree));

        using PlainProbe plain = new(probe.Folder);
        int[][] used = [.. sequences.Where(sequence => sequence.Length > 0)];
        int experts = 0;
        foreach (LinearSite site in probe.Sites)
        {
            Assert.True(statistics.TryGet(site.Name, gram: true, out SiteStatistics? found), site.Name);
            float[][] rows = Rows(plain, site, used);
            Assert.Equal(rows.Length, found.Rows);
            Check(rows, found);
            experts += site.Expert is null ? 0 : 1;
        }

        // What stands in for an expert that no token chose: all inner rows of its mixture.
        Assert.Equal(!name.StartsWith("Llama", StringComparison.Ordinal), experts > 0);
        foreach (string inner in probe.Sites.Where(site => site.Parent?.EndsWith(".inner", StringComparison.Ordinal) == true).Select(site => site.Parent!).Distinct())
        {
            Assert.True(statistics.TryGet(inner, gram: false, out SiteStatistics? whole));
            SiteStatistics[] parts = [.. statistics.Sites.Where(site => site.Site.Parent == inner)];
            Assert.Equal(parts.Sum(part => part.Rows), whole.Rows);
            Assert.Equal(parts.Max(part => part.MaxAbs), whole.MaxAbs);
        }
    }

    [Fact]
    public void Passes_and_threads_change_no_bit_and_the_temporary_file_goes_away()
    {
        ExportResult probe = Export("Lite");
        int[][] sequences = Sequences();
        string temporary = Directory.CreateDirectory(_folder["grams"]).FullName;
        long largest = probe.Sites.Max(site => 8L * site.Channels * site.Channels);
        using CalibrationResult whole = Calibrator.Collect(probe.Folder, probe.Sites, sequences, new CalibrationOptions { Gram = true, Threads = 1, TemporaryFolder = temporary });
        Assert.Empty(Directory.EnumerateFileSystemEntries(temporary));
        List<CalibrationProgress> reports = [];
        CalibrationResult parts = Calibrator.Collect(
            probe.Folder,
            probe.Sites,
            sequences,
            new CalibrationOptions { Gram = true, Threads = 2, TemporaryFolder = temporary, MemoryBudgetBytes = 2 * largest },
            new Reports(reports));
        Assert.True(parts.Passes > 2);
        foreach (SiteStatistics site in whole.Sites)
        {
            Assert.True(parts.TryGet(site.Site.Name, gram: true, out SiteStatistics? found));
            Assert.Equal((site.Rows, site.MaxAbs), (found.Rows, found.MaxAbs));
            Assert.Equal(site.AbsMax, found.AbsMax);
            Assert.Equal(site.SumOfSquares, found.SumOfSquares);
            Assert.Equal(site.Gram, found.Gram);
        }

        Assert.Equal(new CalibrationProgress(statistics(parts), statistics(parts), parts.Passes, parts.Passes), reports[^1]);
        Assert.True(reports.Zip(reports.Skip(1)).All(pair => pair.First.TokensDone < pair.Second.TokensDone));
        parts.Dispose();
        Assert.Empty(Directory.EnumerateFileSystemEntries(temporary));

        static long statistics(CalibrationResult of) => of.Tokens * of.Passes;
    }

    [Fact]
    public void Without_Gram_matrices_none_is_given_and_an_unknown_site_is_not_there()
    {
        ExportResult probe = Export("Llama");
        using CalibrationResult statistics = Calibrator.Collect(probe.Folder, probe.Sites, Sequences(), new CalibrationOptions { DataFree = true });
        Assert.True(statistics.DataFree);
        Assert.True(statistics.TryGet(probe.Sites[0].Name, gram: false, out SiteStatistics? found));
        Assert.Null(found.Gram);
        Assert.False(statistics.TryGet(probe.Sites[0].Name, gram: true, out _));
        Assert.False(statistics.TryGet("nowhere", gram: false, out _));
    }

    [Fact]
    public void Experts_whose_Gram_matrices_are_too_many_leave_theirs_to_the_mixture()
    {
        ExportResult probe = Export("Qwen3-MoE");
        LinearSite[] experts = [.. probe.Sites.Where(site => site.Expert is not null)];
        long all = experts.Sum(site => 8L * site.Channels * site.Channels);
        using CalibrationResult with = Calibrator.Collect(probe.Folder, probe.Sites, Sequences(), new CalibrationOptions { Gram = true, ExpertGramBytes = all });
        using CalibrationResult without = Calibrator.Collect(probe.Folder, probe.Sites, Sequences(), new CalibrationOptions { Gram = true, ExpertGramBytes = all - 1 });
        foreach (LinearSite site in experts)
        {
            Assert.True(with.TryGet(site.Name, gram: true, out _));
            Assert.False(without.TryGet(site.Name, gram: true, out _));
            Assert.True(without.TryGet(site.Name, gram: false, out SiteStatistics? own) && own.SumOfSquares.Length == site.Channels);
            Assert.True(without.TryGet(site.Parent!, gram: true, out SiteStatistics? mixture) && mixture.Rows > own.Rows);
        }
    }

    [Fact]
    public void Activations_that_are_not_finite_are_named_with_site_sequence_and_position()
    {
        ExportResult probe = Export("Llama");
        ExternalInitializer projection = ExternalInitializer.MatricesOf(File.ReadAllBytes(Path.Combine(probe.Folder, ModelManifest.ModelFileName)))
            .First(matrix => matrix.Name.Contains("layers.1.mlp.up_proj", StringComparison.Ordinal));
        using (FileStream data = File.OpenWrite(Path.Combine(probe.Folder, ModelManifest.DataFileName)))
        {
            data.Position = projection.Offset;
            data.Write(BitConverter.GetBytes(float.PositiveInfinity));
        }

        InferenceException exception = Assert.Throws<InferenceException>(() => Calibrator.Collect(probe.Folder, probe.Sites, [[], [4, 5, 6]]));
        LinearSite down = probe.Sites.Single(site => site.Weights.Any(weight => weight.Contains("layers.1.mlp.down_proj", StringComparison.Ordinal)));
        Assert.Contains($"'{down.Name}'", exception.Message, StringComparison.Ordinal);
        Assert.Contains("layers.1.mlp.down_proj.weight", exception.Message, StringComparison.Ordinal);
        Assert.Contains("position 0 of calibration sequence 1, token id 4", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Cancellation_ends_it_before_the_next_step()
    {
        ExportResult probe = Export("Llama");
        using CancellationTokenSource source = new();
        Reports reports = new([], _ => source.Cancel());
        Assert.ThrowsAny<OperationCanceledException>(() => Calibrator.Collect(probe.Folder, probe.Sites, Sequences(), new CalibrationOptions { Gram = true }, reports, source.Token));
        Assert.Single(reports.List);
    }

    [Fact]
    public void What_cannot_be_calibrated_is_refused_with_names_and_numbers()
    {
        ExportResult probe = Export("Llama");
        Refused<InferenceException>("token id 272 at position 1, expected 0 to 271", [[3, 272]]);
        Refused<InferenceException>("257 tokens, the model takes at most 256", [new int[257]]);
        Refused<ArgumentException>("none of 2 calibration sequences", [[], []]);
        Refused<InferenceException>("'somewhere'", [[3]], sites: [new LinearSite { Name = "somewhere", Channels = 4 }]);
        Refused<InferenceException>("has 4 channels", [[3]], sites: [probe.Sites[0] with { Channels = 4 }]);
        Refused<ArgumentException>($"two sites are named '{probe.Sites[0].Name}'", [[3]], sites: [probe.Sites[0], probe.Sites[0]]);
        Refused<InferenceException>("MemoryBudgetBytes is 1,000", [[3]], new CalibrationOptions { Gram = true, MemoryBudgetBytes = 1000 });
        Refused<ArgumentOutOfRangeException>("Threads", [[3]], new CalibrationOptions { Threads = -1 });

        void Refused<T>(string expected, int[][] sequences, CalibrationOptions? options = null, IReadOnlyList<LinearSite>? sites = null)
            where T : Exception
        {
            T exception = Assert.Throws<T>(() => Calibrator.Collect(probe.Folder, sites ?? probe.Sites, sequences, options));
            Assert.Contains(expected, exception.Message, StringComparison.Ordinal);
        }
    }

    private static float[][] Rows(PlainProbe plain, LinearSite site, int[][] sequences)
    {
        int k = site.Channels;
        if (site.Expert is not { } expert)
        {
            return [.. plain.Read(site.Name, sequences).SelectMany(values => values.Chunk(k))];
        }

        bool inner = site.Parent!.EndsWith(".inner", StringComparison.Ordinal);
        string mixture = inner ? site.Parent[..^".inner".Length] : site.Parent;
        return [.. plain.Read(site.Parent, sequences).Zip(plain.Read($"{mixture}.selected", sequences)).SelectMany(pair =>
        {
            float[][] rows = [.. pair.First.Chunk(k)];
            int choices = inner ? 1 : pair.Second.Length / rows.Length;
            return pair.Second.Index().Where(choice => choice.Item == expert).Select(choice => rows[choice.Index / choices]);
        })];
    }

    /// <summary>Sums over the same rows in double precision; another order of the additions moves their last digits.</summary>
    private static void Check(float[][] rows, SiteStatistics found)
    {
        int k = found.Site.Channels;
        Assert.NotNull(found.Gram);
        for (int i = 0; i < k; i++)
        {
            Assert.Equal(rows.Length == 0 ? 0 : rows.Max(row => Math.Abs(row[i])), found.AbsMax[i]);
            Assert.Equal(rows.Sum(row => (double)row[i] * row[i]), found.SumOfSquares[i], 1e-9);
            for (int j = 0; j < k; j++)
            {
                double sum = 0;
                foreach (float[] row in rows)
                {
                    sum += (double)row[i] * row[j];
                }

                Assert.Equal(sum, found.Gram[(i * k) + j], 1e-8);
            }
        }

        Assert.Equal(found.AbsMax.Max(), found.MaxAbs);
    }

    private ExportResult Export(string name)
    {
        string checkpoint = name switch
        {
            "Llama" or "Llama, streaming" => RandomDecoder.Write(_folder["checkpoint"]),
            "Qwen3-MoE" => RandomDecoder.Write(_folder["checkpoint"], new RandomDecoderOptions { Architecture = "Qwen3MoeForCausalLM", Experts = 6, TopK = 3, Seed = 9 }),
            _ => RandomCheckpoint.Write(_folder["checkpoint"], new RandomCheckpointOptions { Seed = 3 }),
        };
        if (name.EndsWith("streaming", StringComparison.Ordinal))
        {
            ConfigEditor editor = ConfigEditor.Load(checkpoint);
            editor.SetStreaming(new StreamingAttentionConfig { BlockSize = 12, LocalBlocks = 2, AttentionLayers = [1] });
            editor.Save(checkpoint);
        }

        return OnnxExporter.Export(checkpoint, _folder["probe"], new ExportOptions { Probes = true });
    }

    private static int[][] Sequences()
    {
        Random random = new(11);
        return [.. s_lengths.Select(length => Enumerable.Range(0, length).Select(_ => random.Next(16, 272)).ToArray())];
    }

    private sealed class Reports(List<CalibrationProgress> list, Action<CalibrationProgress>? then = null) : IProgress<CalibrationProgress>
    {
        public List<CalibrationProgress> List => list;

        public void Report(CalibrationProgress value)
        {
            list.Add(value);
            then?.Invoke(value);
        }
    }
}

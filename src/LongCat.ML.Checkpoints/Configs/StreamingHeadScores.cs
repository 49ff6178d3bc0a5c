using System.Globalization;
using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// The other form of the settings: sizes in tokens and a table of scores, one row per attention and one column per head, in a file beside config.json. Scores below the
/// quantile <c>sparsity</c> stream. Here whole attentions stream or do not, so all heads of a row must fall on one side.
/// </summary>
internal static class StreamingHeadScores
{
    private const int Block = 128;
    private const int MostTokens = 1 << 20;
    private const long LongestTable = 16 << 20;

    public static StreamingAttentionConfig? Read(ConfigReader settings, ModelConfig model)
    {
        int sink = settings.Int("sink_size", 0, MostTokens, 128);
        int recent = settings.Int("recent_size", 1, MostTokens, 256);
        double sparsity = settings.Number("sparsity", 0, 1, 0.5);
        string name = settings.Text("head_score") ?? throw settings.Refuse("head_score", "missing", "the name of the table of scores beside config.json");
        double[][] scores = Table(FileName(settings, name), model);
        double threshold = Quantile(scores, sparsity);
        List<int> streaming = [];
        for (int attention = 0; attention < scores.Length; attention++)
        {
            int heads = scores[attention].Count(score => score < threshold);
            if (heads == scores[attention].Length)
            {
                streaming.Add(attention);
            }
            else if (heads > 0)
            {
                throw settings.Refuse("head_score", $"\"{CheckpointException.Printable(name)}\", where {heads} of {scores[attention].Length} heads of attention {attention} are below the threshold {Text(threshold)}",
                    "all heads of an attention on one side of it: an attention streams as a whole or not at all; name the attentions in attention_layers instead");
            }
        }

        return streaming.Count == 0 ? null : new StreamingAttentionConfig
        {
            BlockSize = Block,
            SinkBlocks = (sink + Block - 1) / Block,
            LocalBlocks = (recent + Block - 1) / Block,
            AttentionLayers = streaming,
        };
    }

    private static string FileName(ConfigReader settings, string name)
    {
        if (settings.Folder is not { } folder)
        {
            throw settings.Refuse("head_score", $"\"{CheckpointException.Printable(name)}\"", "a config.json in a folder: this one lies in none, so its table cannot be found");
        }

        // The config is not trusted: it names files of its own folder only.
        return name.Length > 0 && !Path.IsPathRooted(name) && !name.Contains('\0') && !name.Split('/', '\\').Contains("..")
            ? Path.Combine(folder, name)
            : throw settings.Refuse("head_score", $"\"{CheckpointException.Printable(name)}\"", "a path within the folder of config.json");
    }

    private static double[][] Table(string file, ModelConfig model)
    {
        string[] lines = [.. Encoding.UTF8.GetString(BoundedFile.Read(file, LongestTable).Span).Split('\n').Select(line => line.Trim()).Where(line => line.Length > 0)];
        if (lines.Length != model.NumAttentions)
        {
            throw new CheckpointException(file, $"the table has {lines.Length} rows, expected {model.NumAttentions}, one for each attention");
        }

        double[][] scores = new double[lines.Length][];
        for (int row = 0; row < lines.Length; row++)
        {
            string[] cells = lines[row].Split(['\t', ' '], StringSplitOptions.RemoveEmptyEntries);
            if (row > 0 && cells.Length != scores[0].Length)
            {
                throw new CheckpointException(file, $"row {row} has {cells.Length} scores, expected {scores[0].Length} as in the rows before it");
            }

            scores[row] = [.. cells.Select(cell => Score(file, row, cell))];
        }

        return scores;
    }

    private static double Score(string file, int row, string cell) =>
        double.TryParse(cell, NumberStyles.Float, CultureInfo.InvariantCulture, out double score) && double.IsFinite(score)
            ? Math.Clamp(score, 0, 1)
            : throw new CheckpointException(file, $"row {row} has \"{CheckpointException.Printable(cell)}\", expected a number");

    /// <summary>The quantile of all scores, linear between neighbours.</summary>
    private static double Quantile(double[][] scores, double share)
    {
        double[] sorted = [.. scores.SelectMany(row => row).Order()];
        double place = share * (sorted.Length - 1);
        int below = (int)place;
        int above = Math.Min(below + 1, sorted.Length - 1);
        return sorted[below] + ((place - below) * (sorted[above] - sorted[below]));
    }

    private static string Text(double value) => value.ToString("R", CultureInfo.InvariantCulture);
}

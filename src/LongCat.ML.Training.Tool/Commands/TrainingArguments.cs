using System.CommandLine;
using System.Globalization;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary>Options that several verbs share, checked while the command line is read.</summary>
internal static class TrainingArguments
{
    public static Option<int> Threads() => Whole("--threads", "Threads; 0 means one per core.", 0, least: 0);

    /// <summary>A whole number that is wrong usage below <paramref name="least"/>.</summary>
    public static Option<int> Whole(string name, string description, int initially, int least)
    {
        Option<int> option = new(name) { Description = description, DefaultValueFactory = _ => initially };
        option.Validators.Add(result =>
        {
            // A text that is no number has the parser's own error.
            if (result.Tokens.Count == 1 && int.TryParse(result.Tokens[0].Value, out int value) && value < least)
            {
                result.AddError($"{name} is {value}, expected {least} or more");
            }
        });
        return option;
    }

    /// <summary>A number that is wrong usage unless it is <paramref name="valid"/>.</summary>
    public static Option<double> Number(string name, string description, double initially, Func<double, bool> valid, string expected)
    {
        Option<double> option = new(name) { Description = description, DefaultValueFactory = _ => initially };
        option.Validators.Add(result =>
        {
            // A text that is no number has the parser's own error.
            if (result.Tokens.Count == 1 && double.TryParse(result.Tokens[0].Value, CultureInfo.InvariantCulture, out double value) && (!double.IsFinite(value) || !valid(value)))
            {
                result.AddError(string.Create(CultureInfo.InvariantCulture, $"{name} is {value}, expected a number {expected}"));
            }
        });
        return option;
    }
}

using System.Diagnostics.CodeAnalysis;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML;

/// <summary>Every guard of the package: a message holds the value, what was expected and what to do.</summary>
internal static class Throw
{
    public static void IfOutside(double value, double low, double high, string name)
    {
        if (!(value >= low && value <= high))
        {
            throw new ArgumentOutOfRangeException(name, value, $"{name} is {value}; expected {low} to {high}.");
        }
    }

    public static void IfBlank([NotNull] string? value, string name)
    {
        if (string.IsNullOrEmpty(value))
        {
            throw new ArgumentException($"{name} is {(value is null ? "null" : "empty")}; expected a name.", name);
        }
    }

    [DoesNotReturn]
    public static void MissingColumn(string step, string column, IEnumerable<string> present) =>
        throw new ArgumentOutOfRangeException(
            "inputSchema", $"{step} reads the column '{column}', which the input does not have. Its columns are: {string.Join(", ", present.Select(name => $"'{name}'"))}.");

    [DoesNotReturn]
    public static void WrongColumnType(string step, Inputs.StepInput column, string found) =>
        throw new ArgumentOutOfRangeException(
            "inputSchema", $"{step} reads the column '{column.Name}': expected {column.Expected}, found {found}. Name such a column, or convert this one first.");

    [DoesNotReturn]
    public static void InactiveColumn(DataViewSchema.Column column) =>
        throw new InvalidOperationException($"The column '{column.Name}' is not active here: name it among the columns needed when the cursor or row is made.");

    [DoesNotReturn]
    public static void WrongGetterType(DataViewSchema.Column column, Type asked) =>
        throw new InvalidOperationException($"The column '{column.Name}' holds values of type {column.Type.RawType}, a getter of {asked} was asked for.");

    [DoesNotReturn]
    public static void NoCurrentRow() =>
        throw new InvalidOperationException("The cursor stands on no row: call MoveNext first, and read only while it returns true.");
}

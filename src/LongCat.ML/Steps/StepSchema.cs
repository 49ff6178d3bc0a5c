using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Steps;

/// <summary>Checks the columns that a step reads and says which ones it adds.</summary>
internal static class StepSchema
{
    /// <summary>The input's columns followed by the step's.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A column is missing or not text; the message names it, its type and what was expected.</exception>
    public static DataViewSchema Output(RowStep step, DataViewSchema input)
    {
        Check(step, input);
        var builder = new DataViewSchema.Builder();
        builder.AddColumns(input);
        foreach (StepColumn column in step.Outputs)
        {
            builder.AddColumn(column.Name, column.Type, column.Annotations());
        }

        return builder.ToSchema();
    }

    public static void Check(RowStep step, DataViewSchema input)
    {
        foreach (string name in step.Inputs)
        {
            if (input.GetColumnOrNull(name) is not { } column)
            {
                Throw.MissingColumn(step.Name, name, input.Where(other => !other.IsHidden).Select(other => other.Name));
                return;
            }

            if (column.Type is not TextDataViewType)
            {
                var vector = column.Type as VectorDataViewType;
                Throw.WrongColumnType(step.Name, name, Describe(vector?.ItemType ?? column.Type, vector is not null));
            }
        }
    }

    public static void Check(RowStep step, SchemaShape input)
    {
        foreach (string name in step.Inputs)
        {
            SchemaShape.Column column = input.FirstOrDefault(other => other.Name == name);
            if (column.Name is null)
            {
                Throw.MissingColumn(step.Name, name, input.Select(other => other.Name));
            }

            if (column.Kind != SchemaShape.Column.VectorKind.Scalar || column.IsKey || column.ItemType is not TextDataViewType)
            {
                string item = column.IsKey ? $"a key of {column.ItemType}" : column.ItemType.ToString()!;
                Throw.WrongColumnType(step.Name, name, column.Kind == SchemaShape.Column.VectorKind.Scalar ? item : $"a vector of {item}");
            }
        }
    }

    // The same words for a schema and for a shape, which knows less.
    private static string Describe(DataViewType item, bool isVector)
    {
        string name = item is KeyDataViewType ? $"a key of {item.RawType.Name}" : item.ToString()!;
        return isVector ? $"a vector of {name}" : name;
    }
}
